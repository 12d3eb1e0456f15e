package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gatehouse"
)

type billingTopUpsCmd struct {
	List    topUpsListCmd    `cmd:"" help:"List payments into credit, oldest first."`
	Confirm topUpsConfirmCmd `cmd:"" help:"Say that the money of a pending one has come, and give the credit. Again it changes nothing."`
	Fail    topUpsFailCmd    `cmd:"" help:"End a pending one without money."`
	Refund  topUpsRefundCmd  `cmd:"" help:"Take credit back whose money was paid back."`
}

type topUpsListCmd struct {
	remote
	paging
	Team gatehouse.ID `help:"Only of this team." placeholder:"ID"`
}

// Run lists top-ups.
func (c *topUpsListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.TopUp, string, error) { return s.ListTopUps(s, c.Team, p) })
		if err != nil {
			return err
		}
		return s.table("ID TEAM AMOUNT STATUS PROCESSOR PAYMENT CREATED", each(all, func(t *gatehouse.TopUp) []string {
			return []string{t.ID.String(), t.TeamID.String(), usd(t.Amount), string(t.Status), t.Processor, t.External, clock(t.CreateTime, "")}
		}))
	})
}

type oneTopUp struct {
	remote
	ID gatehouse.ID `arg:"" help:"The top-up's id."`
}

// settle runs what ends a top-up, and shows it.
func (c *oneTopUp) settle(e *env, f func(*session) (*gatehouse.TopUp, error)) error {
	return c.do(e, 0, func(s *session) error {
		t, err := f(s)
		if err != nil {
			return err
		}
		return s.record(topUpPairs(t)...)
	})
}

type topUpsConfirmCmd struct {
	oneTopUp
	Payment string `help:"What the payment is called where it came in, such as a bank's reference." placeholder:"TEXT"`
}

// Run confirms a top-up.
func (c *topUpsConfirmCmd) Run(e *env) error {
	return c.settle(e, func(s *session) (*gatehouse.TopUp, error) { return s.ConfirmTopUp(s, c.ID, c.Payment) })
}

type topUpsFailCmd struct {
	oneTopUp
	Problem string `help:"Why there is no money." placeholder:"TEXT"`
}

// Run fails a top-up.
func (c *topUpsFailCmd) Run(e *env) error {
	return c.settle(e, func(s *session) (*gatehouse.TopUp, error) { return s.FailTopUp(s, c.ID, c.Problem) })
}

type topUpsRefundCmd struct {
	oneTopUp
	Amount money `arg:"" help:"How much was paid back, in dollars."`
}

// Run refunds a top-up.
func (c *topUpsRefundCmd) Run(e *env) error {
	return c.settle(e, func(s *session) (*gatehouse.TopUp, error) { return s.RefundTopUp(s, c.ID, c.Amount.ticks) })
}

type billingPostingsCmd struct {
	paying
	paging
}

// postingsPage is how many postings are listed unless told otherwise: books only
// grow.
const postingsPage = 100

// Run lists postings, an entry a line.
func (c *billingPostingsCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		if !s.json && c.PageSize == 0 {
			c.PageSize = postingsPage
		}
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Posting, string, error) { return s.ListPostings(s, c.Team, p) })
		if err != nil {
			return err
		}
		var rows [][]string
		for _, p := range all {
			about := strings.Join(strings.Fields(p.Ref+" "+p.Note), " ")
			for _, entry := range p.Entries {
				rows = append(rows, []string{clock(p.Time, ""), p.ID.String(), string(p.Kind), monthOf(p.Cycle), string(entry.Account), usd(entry.Amount), about})
			}
		}
		return s.table("TIME POSTING KIND MONTH ACCOUNT AMOUNT ABOUT", rows)
	})
}

type billingTrialCmd struct{ paying }

var errUnbalanced = errors.New("the books do not sum to zero")

// Run shows the trial balance.
func (c *billingTrialCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := s.Trial(s, c.Team)
		if err != nil {
			return err
		}
		var rows [][]string
		var sum gatehouse.Ticks
		for _, a := range slices.Sorted(maps.Keys(all)) {
			rows, sum = append(rows, []string{string(a), usd(all[a])}), sum+all[a]
		}
		if err := s.table("ACCOUNT BALANCE", append(rows, []string{"sum", usd(sum)})); err != nil || sum == 0 {
			return err
		}
		return errUnbalanced
	})
}

type billingHoldsCmd struct {
	List     holdsListCmd     `cmd:"" help:"List what gateways hold of credit and budgets, oldest first."`
	WriteOff holdsWriteOffCmd `cmd:"" help:"End the hold of a gateway that will not come back."`
}

type holdsListCmd struct {
	remote
	paging
	Team gatehouse.ID `help:"Only of this team." placeholder:"ID"`
}

// Run lists holds.
func (c *holdsListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Hold, string, error) { return s.ListHolds(s, c.Team, p) })
		if err != nil {
			return err
		}
		return s.table("ID FUND GATEWAY OPEN DRAWN RETURNED BOOKED SEEN", each(all, func(h *gatehouse.Hold) []string {
			return []string{h.ID.String(), h.Fund, h.Gateway.String(), usd(h.Open()), usd(h.Drawn), usd(h.Returned), usd(h.Ingested), clock(h.Seen, "")}
		}))
	})
}

type holdsWriteOffCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The hold's id."`
}

// Run writes a hold off.
func (c *holdsWriteOffCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		h, err := s.WriteOffHold(s, c.ID)
		if err != nil {
			return err
		}
		return s.record("id", h.ID.String(), "fund", h.Fund, "gateway", h.Gateway.String(), "open", usd(h.Open()), "drawn", usd(h.Drawn),
			"returned", usd(h.Returned), "booked", usd(h.Ingested))
	})
}

type billingRerateCmd struct {
	paying
	Month month `arg:"" help:"The month, such as 2026-01."`
}

// Run re-rates a month. One that was cut short is simply asked for again.
func (c *billingRerateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		r, err := s.RerateUsage(s, c.Team, gatehouse.Cycle(c.Month))
		if err != nil {
			return err
		}
		return s.show(func(w io.Writer) {
			fmt.Fprintf(w, "looked at %s requests, priced %s anew: %s became %s\n",
				strconv.FormatInt(r.Rows, 10), strconv.FormatInt(r.Changed, 10), usd(r.Before), usd(r.After))
		})
	})
}
