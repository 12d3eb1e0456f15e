package purse

import (
	"context"

	"gatehouse"
)

// Bank is who grants money: control, in this process or over the network. An
// error means that nobody can tell what was done; the next request finds out.
type Bank interface {
	Draw(ctx context.Context, r DrawRequest) (DrawReply, error)
}

// DrawRequest is one exchange of a gateway's incarnation with the bank.
type DrawRequest struct {
	Gateway     gatehouse.ID
	Incarnation int64 // of its journal: usage is told apart by it
	// Shipped says that all usage of incarnations before it has been ingested, so
	// that what they held and did not use is free again. 0 says nothing.
	Shipped int64
	// Seq grows with every request of the incarnation. A request that arrives
	// behind a newer one changes nothing.
	Seq  int64
	Asks []Ask // at most MaxAsks, each fund once
}

// MaxAsks bounds one request, so that the bank's transaction is short.
const MaxAsks = 64

// Ask is what is wanted of one fund, in totals of the incarnation: all that was
// given back, what all that was drawn should come to, and the least that would
// be of use. Want 0 draws nothing.
type Ask struct {
	Fund                  gatehouse.Fund
	Returned, Want, Least gatehouse.Ticks
}

// DrawReply holds an answer to each ask, in their order.
type DrawReply struct{ Answers []Answer }

// Answer is how a fund stands after an ask.
type Answer struct {
	Drawn, Returned gatehouse.Ticks // totals of this incarnation, as the bank has them
	Left            gatehouse.Ticks // what can still be drawn; may be negative
	Held            gatehouse.Ticks // by others: may come back
	Others          int             // how many others have asked in the last seconds
	Never           bool            // credit of a team that never had any
}
