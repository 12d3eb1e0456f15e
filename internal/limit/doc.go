// Package limit decides whether a key may send one more request now. Its
// arithmetic does no I/O and has no clock: callers pass a monotonic time, so the
// same code runs in the gateway and in simulation.
//
// # What is promised
//
// QPS and QPM: no sliding second holds more than `qps` admissions, no sliding
// minute more than `qpm`; overshoot is zero. A window is a ring of 64
// sub-windows and the partial one at its far end, which counts whole. Counting
// it whole is what makes the promise hold for every window and not only for
// aligned ones; it costs at most 1/64 of the limit under saturating demand.
//
// TPM: a counter of the tokens posted in the last minute, not a budget. Nothing
// is reserved: a new request is refused once the sum strictly exceeds the
// limit, and requests in flight go on. A key in reserve mode holds its estimate
// from admission until settlement instead.
//
// QPS, QPM and TPM are taken together or not at all.
//
// # What it costs
//
// A key without limits touches nothing. A key with limits has one entry while
// it is in use and for a minute after; its memory does not depend on its limits.
//
// # Several gateways
//
// A [Limiter] with an [Authority] leases each gateway shares whose sum is at
// most the limit, takes single admissions where shares would be too small, and
// exchanges what all count of tokens. [Holder] is the gateway's side and [Book]
// the authority's: both without clock and I/O, so that limittest simulates the
// very code that runs. A share enters the windows as a lower bound and nothing
// else changes: the arithmetic of one gateway stays the arithmetic of each.
//
// The sum of what gateways may admit never exceeds the limit, in any sliding
// window: see Book for why, and docs/decisions/0013 for the choices.
package limit
