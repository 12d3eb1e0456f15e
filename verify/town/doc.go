// Package town runs the real binary in any topology on loopback: one process
// that is everything, or control nodes over PostgreSQL with gateways of several
// clusters around them and a Redis between. Wires between the parts can be cut,
// and every part can be killed, paused and started again. The tests of verify
// and conformance live in it.
package town
