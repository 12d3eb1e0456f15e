// Package check holds everything in deploy to its schemas and to the rest of the
// repository: the chart is rendered and its objects decoded strictly, compose is
// loaded by its own library, units are verified by systemd, rules and dashboards
// are parsed by Prometheus' parser, and whatever they name must exist in the
// reference pages. It is a module of its own, so that none of these libraries is
// a dependency of the product.
package check
