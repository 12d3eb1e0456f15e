// Package fleet is a gateway's side of the wire to control: one [Client] is the
// gateway's feed, the sink of its usage, its limit authority and the place where
// it asks for what only the store knows. Whoever holds a Client cannot tell it
// from the same things in one process.
//
// # Who a gateway is
//
// A process becomes a gateway by a join token, once. What it got then is its
// [Identity], kept in its data directory: who it is, the credential that it shows
// with every call, the private key that its cluster's upstream credentials are
// sealed to, and the public keys that batches are signed by, and where control is. From then on it
// starts from that directory alone; the token is not looked at again.
//
// # When control is away
//
// Calls fail as Unavailable and their callers wait; nothing here decides to go
// on or to stop. Several control nodes may be named; a call that finds one dead
// goes to the next. The stream of batches has no total timeout, but each poll
// is answered within seconds or the stream is given up: a connection that is dead
// on the other side is noticed well within a lease.
package fleet
