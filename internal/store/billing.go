package store

import (
	"time"

	"gatehouse"
)

// BillingView reads what a team pays by, what it owes and what it may still
// spend. Within a Tx whatever reads a team's money closes its books to others
// until the commit: nothing is ingested, drawn or posted for it meanwhile, so
// that what an invoice says is what is on the books.
type BillingView interface {
	// BillingAccount is NotFound until it is first written.
	BillingAccount(team gatehouse.ID) (*gatehouse.BillingAccount, error)
	TopUp(id gatehouse.ID) (*gatehouse.TopUp, error)
	// TopUps lists by (create time, id); a zero team lists all.
	TopUps(team gatehouse.ID, after Cursor, limit int) ([]*gatehouse.TopUp, error)
	// PendingTopUp is the team's oldest that is pending; NotFound for none.
	PendingTopUp(team gatehouse.ID) (*gatehouse.TopUp, error)
	Invoice(id gatehouse.ID) (*gatehouse.Invoice, error)
	// Invoices lists all of a team's, newest first.
	Invoices(team gatehouse.ID) ([]*gatehouse.Invoice, error)
	// InvoiceOf is that of a closed cycle; NotFound while it is open.
	InvoiceOf(team gatehouse.ID, cycle gatehouse.Cycle) (*gatehouse.Invoice, error)
	AlertHook(id gatehouse.ID) (*gatehouse.AlertHook, error) // Secret in the clear
	// AlertHooks lists by create time; a zero team lists all.
	AlertHooks(team gatehouse.ID) ([]*gatehouse.AlertHook, error)
	// Alerts lists what was put, newest first; a zero team lists all.
	Alerts(team gatehouse.ID, after Cursor, limit int) ([]gatehouse.Alert, error)

	// Balances is what a team's accounts stand at, of all time.
	Balances(team gatehouse.ID) (map[gatehouse.Account]gatehouse.Ticks, error)
	// CycleBalance is the sum of an account's entries in a cycle.
	CycleBalance(team gatehouse.ID, account gatehouse.Account, cycle gatehouse.Cycle) (gatehouse.Ticks, error)
	// CycleSpend is what usage, adjustments included, took from the credit in each
	// cycle that took any.
	CycleSpend(team gatehouse.ID) (map[gatehouse.Cycle]gatehouse.Ticks, error)
	// Postings lists newest first.
	Postings(team gatehouse.ID, after Cursor, limit int) ([]*gatehouse.Posting, error)
	// CreditPostings are all grants and refunds, newest first: what changes the
	// credit beside top-ups and usage.
	CreditPostings(team gatehouse.ID) ([]*gatehouse.Posting, error)
	// Charges lists a cycle's by For, cluster, model, unit, price. Their amounts add
	// up to the cycle's revenue.
	Charges(team gatehouse.ID, cycle gatehouse.Cycle) ([]gatehouse.Charge, error)
	// Spent is what was ingested on a budget's fund.
	Spent(f gatehouse.Fund) (gatehouse.Ticks, error)
	// BudgetFunds lists the funds of a budget's period (a Fund's Start) on which
	// something was ingested, or is open.
	BudgetFunds(budget gatehouse.ID, start int64) (map[gatehouse.Fund]FundUse, error)
	// Holds lists open ones by (since, id); a zero team lists all.
	Holds(team gatehouse.ID, after Cursor, limit int) ([]*gatehouse.Hold, error)
	Hold(id gatehouse.ID) (*gatehouse.Hold, error)
	// HeldBy is the sum of what is open on a fund.
	HeldBy(f gatehouse.Fund) (gatehouse.Ticks, error)
}

// FundUse is where a fund of a budget stands.
type FundUse struct {
	Spent gatehouse.Ticks // ingested
	Held  gatehouse.Ticks // the sum of what is open
}

// PeopleView reads what people are found and asked in by.
type PeopleView interface {
	Invitation(id gatehouse.ID) (*gatehouse.Invitation, error) // Digest in the clear
	// Invitations lists by (create time, id), revoked ones left out; a zero team
	// lists all.
	Invitations(team gatehouse.ID, after Cursor, limit int) ([]*gatehouse.Invitation, error)
	// UserBySubject is the living user with that subject, the oldest if there are
	// several; an empty subject is nobody's.
	UserBySubject(subject string) (*gatehouse.User, error)
	// UserByEmail is the living user of a team with that address, whatever its case.
	UserByEmail(team gatehouse.ID, email string) (*gatehouse.User, error)
	// SignIns lists who is signed in by an identity provider, by user.
	SignIns() ([]SignInState, error)
}

// SignInState is what is known of a person's last sign-in. The store seals the
// token to the user; Reseal renews it like other secrets.
type SignInState struct {
	User    gatehouse.ID
	Refresh []byte    // the refresh token in the clear; empty: the provider gave none
	Checked time.Time // when the provider last said that the person is there
}

// BillingTx writes what a team pays by.
type BillingTx interface {
	PutBillingAccount(*gatehouse.BillingAccount, gatehouse.Act) error
	PutTopUp(*gatehouse.TopUp, gatehouse.Act) error
	// PutInvoice with a Cycle closes the cycle: usage of it that comes later counts
	// in the running one.
	PutInvoice(*gatehouse.Invoice, gatehouse.Act) error
	PutInvitation(*gatehouse.Invitation, gatehouse.Act) error
	PutAlertHook(*gatehouse.AlertHook, gatehouse.Act) error
	// Post appends to the ledger. An ID and a Time that are zero are set. A posting
	// that does not balance, or names no team, cycle or account, is
	// InvalidArgument; one whose id is there is AlreadyExists. The transaction must
	// leave a leaf in the audit log too, or it fails.
	Post(*gatehouse.Posting) error
	// EndHold takes what is open of a hold as given back.
	EndHold(id gatehouse.ID) error
}

// BillingIngest is what ingest does to the books beside inserting rows.
type BillingIngest interface {
	// From says whose journal the usage that follows is of: what it cost counts as
	// ingested on that incarnation's holds. Without it none does.
	From(gateway gatehouse.ID, incarnation int64)
	// Rerate prices a team's rows of [from, to) by the prices as they are, at most
	// so many after the cursor (the zero one begins), by (start, id). Rows whose
	// costs differ are changed, with their rollups, charges and budgets, and the
	// difference is posted. Done says that there are no more, else last is where to
	// go on. Rows that retention dropped are not there to be priced.
	Rerate(team gatehouse.ID, from, to time.Time, after Cursor, most int) (report gatehouse.RerateReport, last Cursor, done bool, err error)
}

// BillingWork is the bookkeeping of money that is no act of anybody.
type BillingWork interface {
	// Draw gives back to a fund and takes from it in one transaction.
	Draw(Draw) (Drawn, error)
	// EndIncarnations ends the holds of a gateway's incarnations before one: their
	// journals are ingested to the end, so what is open was never spent.
	EndIncarnations(gateway gatehouse.ID, before int64) error
	// Alerted remembers that an alert for a share of a fund was sent, and reports
	// whether this is the first time. Trim forgets it in time, but not of a budget
	// that never begins anew.
	Alerted(fund string, share int) (first bool, err error)
	// PutAlert keeps an alert, in the place of one of the same ID.
	PutAlert(gatehouse.Alert) error
	// PutSignIn remembers a sign-in in the place of the user's last, and DropSignIn
	// forgets it.
	PutSignIn(SignInState) error
	DropSignIn(user gatehouse.ID) error
}

// Draw asks for money of one fund. Figures are totals of the gateway's
// incarnation since it began, never differences, so that a repeat is harmless.
type Draw struct {
	Fund        gatehouse.Fund
	Gateway     gatehouse.ID
	Incarnation int64
	Now         time.Time // of whoever answers; zero: the store's clock
	// Seq grows with every request of the incarnation, over all its funds. One that
	// is not above the hold's last changes nothing: the answer says how things stand.
	Seq      int64
	Returned gatehouse.Ticks // given back so far; counted first, never above what was drawn
	// Want is what should be drawn in all, and Least the smallest that is of use.
	// Want at or below what was drawn takes nothing.
	Want, Least gatehouse.Ticks
}

// Drawn is how things stand after a Draw.
type Drawn struct {
	// Drawn and Returned are the hold's totals. A hold that an operator ended has
	// returned what the gateway thought it had.
	Drawn, Returned gatehouse.Ticks
	// Left is what is still available of the fund; it may be negative. A team that
	// is gone has nothing left. What nothing bounds (the credit of a team that is
	// only metered, a budget that the team no longer has) is granted whole, and
	// Left is half of what ticks can hold.
	Left   gatehouse.Ticks
	Held   gatehouse.Ticks // Σ Open of the fund's other holds: it may come back
	Others int             // how many of these asked in the last three seconds
	Never  bool            // the credit of a prepaid team that never got any
}
