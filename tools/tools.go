// Package tools pins the code generators. generate.sh builds them from this
// module, so that none of their dependencies becomes one of the product's.
package tools
