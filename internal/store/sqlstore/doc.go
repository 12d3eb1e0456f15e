// Package sqlstore implements the store contract in portable SQL. One text of
// every statement serves all engines; what differs (placeholders, the word
// index) is in a [Dialect]. Engines open the connections, set them up, and hand
// them over.
//
// # What a row proves
//
// A table of authority holds records of one kind as canonical JSON without
// secrets, the secrets sealed to their place, and a MAC over both with the
// place and the revision. Columns beside the record only serve indexes: they
// must repeat what the record says. A row counts when its MAC verifies, its
// columns agree, and its revision is the last that the audit log has for it. So
// an edited row fails its MAC, a row pasted elsewhere fails its place, and an
// old row put back is behind the log. Rewriting the log too breaks the root in
// the installation row, which has a MAC of its own.
//
// # What usage costs
//
// The transaction that inserts usage posts what it costs (posting.go): per team
// and cycle a posting (ledger.go), the charges that it is made of (charges.go),
// what budgets spent (funds.go) and what gateways' holds have come to (holds.go).
// All sums are kept as postings are appended. Whoever reads or writes a team's
// money in order to change it holds the team's books; where there is one writer
// they are his.
//
// # Who writes
//
// Several processes may share a database where the engine says so
// ([Dialect].Shared): see catchup.go for how each knows what the others wrote,
// and settle.go for what a COMMIT without an answer means.
//
// One goroutine owns the one writing connection. It takes waiting Updates
// first, up to [groupMax] in one transaction with a savepoint each, and runs one
// Ingest or Work between groups. Nobody is told of success before COMMIT
// returned.
package sqlstore
