// Package limittest holds the conformance suite of [limit.Authority] and the
// simulation of everything that gateways share by leases: rates, token counts,
// strict keys and credit. The simulation drives the product's own state
// machines through a network that delays, loses, doubles and reorders, with
// pauses, crashes, drifting clocks and an authority that forgets, and compares
// them with oracles that remember every true admission. One seed reproduces.
package limittest
