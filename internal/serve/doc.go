// Package serve assembles a role of Gatehouse into a running program: it reads
// the configuration, opens the engines, starts the loops in order and stops
// them in reverse. It holds no rule of its own and is the only package that
// names a driver.
package serve
