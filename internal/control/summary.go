package control

import "gatehouse"

// under is the operation that a read of a team's books is made under: its own,
// or the summary's where it is a part of one. Who may see the summary needs no
// other scope for it.
func (c *Caller) under(op gatehouse.Operation) gatehouse.Operation {
	if c.call.Operation == gatehouse.GetBillingSummary {
		return gatehouse.GetBillingSummary
	}
	return op
}
