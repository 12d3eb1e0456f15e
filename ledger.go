package gatehouse

import (
	"fmt"
	"time"
)

// Account is one side of a posting. Every team has each of them. Debits are
// positive and credits negative, as in every ledger and on xAI's wire: money
// that a team has left is a negative balance of AccountCredit.
type Account string

// The accounts.
const (
	AccountCash       Account = "cash"       // what a payment processor took in
	AccountCredit     Account = "credit"     // prepaid money that is left, negative
	AccountReceivable Account = "receivable" // used beyond the credit, and owed
	AccountRevenue    Account = "revenue"    // what requests cost, negative
	AccountMetered    Account = "metered"    // what requests cost a team that is only metered
	AccountGranted    Account = "granted"    // credit that an operator gave
	AccountRounding   Account = "rounding"   // between ticks and the cents of invoice lines
	AccountTax        Account = "tax"        // on invoices, negative
)

// PostingKind says why money moved.
type PostingKind string

// The posting kinds.
const (
	PostUsage      PostingKind = "usage"      // a batch of requests, at ingest
	PostTopUp      PostingKind = "top_up"     // a confirmed payment
	PostRefund     PostingKind = "refund"     // money given back
	PostGrant      PostingKind = "grant"      // credit given or taken by an operator
	PostClose      PostingKind = "close"      // rounding and tax of an invoice
	PostAdjustment PostingKind = "adjustment" // re-rated usage
	PostPayment    PostingKind = "payment"    // of an invoice that credit did not pay
)

// Entry is one line of a posting.
type Entry struct {
	Account Account `json:"account"`
	Amount  Ticks   `json:"amount"`
}

// Posting moves money within a team. Its entries sum to zero. Postings are
// appended and never changed; a mistake is mended by another posting.
type Posting struct {
	ID      ID          `json:"id"`
	TeamID  ID          `json:"team"`
	Time    time.Time   `json:"time"`
	Kind    PostingKind `json:"kind"`
	Cycle   Cycle       `json:"cycle"` // the billing cycle that it counts in
	Ref     string      `json:"ref,omitempty"`
	Note    string      `json:"note,omitempty"`
	Entries []Entry     `json:"entries"`
}

// Balanced reports whether the entries sum to zero without overflow.
func (p *Posting) Balanced() bool {
	var sum Ticks
	for _, e := range p.Entries {
		var ok bool
		if sum, ok = sum.Add(e.Amount); !ok {
			return false
		}
	}
	return sum == 0
}

// Cycle is a billing cycle: a calendar month in UTC.
type Cycle struct {
	Year  int `json:"year"`
	Month int `json:"month"` // 1…12
}

// CycleOf is the cycle that t lies in.
func CycleOf(t time.Time) Cycle {
	t = t.UTC()
	return Cycle{t.Year(), int(t.Month())}
}

// Start and End bound the cycle: [Start, End).
func (c Cycle) Start() time.Time {
	return time.Date(c.Year, time.Month(c.Month), 1, 0, 0, 0, 0, time.UTC)
}

// End is the start of the next cycle.
func (c Cycle) End() time.Time { return c.Start().AddDate(0, 1, 0) }

// Next is the cycle after c.
func (c Cycle) Next() Cycle { return CycleOf(c.End()) }

// Number orders cycles: months since year 0.
func (c Cycle) Number() int { return c.Year*12 + c.Month - 1 }

// Less reports whether c is before d.
func (c Cycle) Less(d Cycle) bool { return c.Number() < d.Number() }

// IsZero reports whether there is none.
func (c Cycle) IsZero() bool { return c == Cycle{} }

// Valid bounds what may be asked for: years 2000 to 2200.
func (c Cycle) Valid() bool { return c.Year >= 2000 && c.Year <= 2200 && c.Month >= 1 && c.Month <= 12 }

// String is "2026-01".
func (c Cycle) String() string { return fmt.Sprintf("%04d-%02d", c.Year, c.Month) }

// ParseCycle inverts String.
func ParseCycle(s string) (Cycle, error) {
	t, err := time.Parse("2006-01", s)
	if err != nil || !CycleOf(t).Valid() {
		return Cycle{}, Errorf(InvalidArgument, "not a billing cycle: want YYYY-MM")
	}
	return CycleOf(t), nil
}

// Charge is the sum of one kind of consumption in a cycle: what an invoice line
// is made of. A price that changed within the cycle makes two charges.
type Charge struct {
	Cluster string
	Model   string
	Unit    Unit
	Price   Ticks // of one unit
	Units   int64
	Amount  Ticks // Price × Units
	// For is the cycle that the requests were made in, when it is an earlier one:
	// a correction of what was closed. Zero: this one.
	For Cycle
}

// Hold is money that a gateway may spend without asking again: a draw on a
// [Fund]. It ends when that much usage of the gateway's
// incarnation was ingested, when the gateway gives the rest back, or when an
// operator writes it off.
type Hold struct {
	ID          ID        `json:"id"`
	TeamID      ID        `json:"team"`
	Fund        string    `json:"fund"` // a Fund's String
	Gateway     ID        `json:"gateway"`
	Incarnation int64     `json:"incarnation"`
	Drawn       Ticks     `json:"drawn"`
	Returned    Ticks     `json:"returned"`
	Ingested    Ticks     `json:"ingested"`
	Since       time.Time `json:"since"`
	Seen        time.Time `json:"seen"` // the last draw or return
}

// Open is what the gateway may still spend, or has spent and not reported.
func (h *Hold) Open() Ticks { return max(0, h.Drawn-h.Returned-h.Ingested) }
