package control

import (
	"context"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// Balance implements gatehouse.Money.
func (c *Caller) Balance(ctx context.Context, team gatehouse.ID) (gatehouse.Balance, error) {
	return ofTeam(ctx, c, gatehouse.GetBillingSummary, gatehouse.Act{Action: "balance.read"}, team,
		func(v store.View, who *principal, t *gatehouse.Team) (gatehouse.Balance, error) {
			return balanceOf(v, t.ID, who.now)
		})
}

func balanceOf(v store.View, team gatehouse.ID, now time.Time) (out gatehouse.Balance, err error) {
	left, free, err := creditOf(v, team)
	if err != nil {
		return out, err
	}
	owed, err := v.CycleBalance(team, gatehouse.AccountReceivable, gatehouse.CycleOf(now))
	return gatehouse.Balance{Credit: max(0, left), Owed: owed, Held: left - free, Updated: utc(now)}, err
}

// statement is every change of a prepaid balance and what it stands at.
type statement struct {
	changes []gatehouse.BalanceChange
	total   gatehouse.Ticks
}

// BalanceChanges implements gatehouse.Money. The rows that succeeded add up to
// the total.
func (c *Caller) BalanceChanges(ctx context.Context, team gatehouse.ID) ([]gatehouse.BalanceChange, gatehouse.Ticks, error) {
	out, err := ofTeam(ctx, c, gatehouse.ListPrepaidBalanceChanges, gatehouse.Act{Action: "balance_changes.listed"}, team,
		func(v store.View, who *principal, t *gatehouse.Team) (out statement, err error) {
			left, _, err := creditOf(v, t.ID)
			if err != nil {
				return out, err
			}
			out.total = -left
			for _, rows := range []func(store.View, gatehouse.ID, time.Time) ([]gatehouse.BalanceChange, error){purchases, byHand, spending} {
				some, err := rows(v, t.ID, who.now)
				if err != nil {
					return out, err
				}
				out.changes = append(out.changes, some...)
			}
			slices.SortStableFunc(out.changes, func(a, b gatehouse.BalanceChange) int { return b.Time.Compare(a.Time) })
			return out, nil
		})
	return out.changes, out.total, err
}

// purchases are the top-ups, whatever became of them.
func purchases(v store.View, team gatehouse.ID, _ time.Time) (out []gatehouse.BalanceChange, err error) {
	for after := (store.Cursor{}); ; {
		some, err := v.TopUps(team, after, defaultPage)
		if err != nil {
			return nil, err
		}
		for _, t := range some {
			out = append(out, gatehouse.BalanceChange{
				TeamID: team, Origin: gatehouse.OriginPurchase, Status: t.Status, Amount: -t.Amount, Time: t.CreateTime,
				TopUp: t.ID, Invoice: t.InvoiceNo, Process: t.Processor, Note: t.Problem,
			})
		}
		if len(some) < defaultPage {
			return out, nil
		}
		last := some[len(some)-1]
		after = store.Cursor{Time: last.CreateTime, ID: last.ID.String()}
	}
}

// byHand are what operators gave and took, and what was given back.
func byHand(v store.View, team gatehouse.ID, _ time.Time) (out []gatehouse.BalanceChange, err error) {
	postings, err := v.CreditPostings(team)
	if err != nil {
		return nil, err
	}
	for _, p := range postings {
		origin := gatehouse.OriginManual
		if p.Kind == gatehouse.PostRefund {
			origin = gatehouse.OriginRefund
		}
		out = append(out, gatehouse.BalanceChange{
			TeamID: team, Origin: origin, Status: gatehouse.TopUpSucceeded, Amount: onCredit(p), Time: p.Time, Note: p.Note,
		})
	}
	return out, nil
}

// onCredit is what a posting did to the credit.
func onCredit(p *gatehouse.Posting) (sum gatehouse.Ticks) {
	for _, e := range p.Entries {
		if e.Account == gatehouse.AccountCredit {
			sum += e.Amount
		}
	}
	return sum
}

// spending is a row for each cycle that took from the credit: what the usage took
// so far, and of a closed one what its invoice says.
func spending(v store.View, team gatehouse.ID, now time.Time) (out []gatehouse.BalanceChange, err error) {
	spent, err := v.CycleSpend(team)
	if err != nil {
		return nil, err
	}
	invoices, err := v.Invoices(team)
	if err != nil {
		return nil, err
	}
	row := gatehouse.BalanceChange{TeamID: team, Origin: gatehouse.OriginSpend, Status: gatehouse.TopUpSucceeded}
	for _, inv := range invoices {
		if inv.Cycle.IsZero() {
			continue
		}
		delete(spent, inv.Cycle)
		if inv.Prepaid != 0 {
			row.Amount, row.Time, row.Cycle, row.Invoice = gatehouse.Ticks(inv.Prepaid)*gatehouse.Cent, inv.CreateTime, inv.Cycle, inv.Number
			out = append(out, row)
		}
	}
	for cycle, amount := range spent {
		row.Amount, row.Cycle, row.Invoice, row.Time = amount, cycle, "", cycle.End()
		if row.Time.After(now) {
			row.Time = utc(now)
		}
		if amount != 0 {
			out = append(out, row)
		}
	}
	return out, nil
}
