package sqlstore

import (
	"bytes"
	"database/sql"
	"maps"
	"slices"
	"time"

	"gatehouse"
)

// What a batch of usage adds to the ledger is summed first, per team, so that
// it costs a handful of statements however many rows it has.

// bill is what usage adds to one team's books.
type bill struct {
	id      gatehouse.ID
	team    *gatehouse.Team // nil: there is none, or its row was edited
	budgets *budgets
	used    map[gatehouse.Cycle]*use // by the cycle that requests were made in
	spent   spending
}

// use is the consumption of a cycle.
type use struct {
	paid, metered gatehouse.Ticks // by how the team stood when requests were made
	charges       charges
}

func newBill(id gatehouse.ID, team *gatehouse.Team) *bill {
	return &bill{id: id, team: team, budgets: newBudgets(team), used: map[gatehouse.Cycle]*use{}, spent: spending{}}
}

// pays reports whether the team's credit is asked for.
func (b *bill) pays() bool {
	for _, x := range b.used {
		if x.paid != 0 {
			return true
		}
	}
	return false
}

// of is the use of a record's cycle.
func (b *bill) of(u *gatehouse.UsageRecord) *use {
	c := gatehouse.CycleOf(u.Start)
	if b.used[c] == nil {
		b.used[c] = &use{charges: charges{}}
	}
	return b.used[c]
}

// add adds a record.
func (b *bill) add(u *gatehouse.UsageRecord) {
	b.of(u).charges.add(u, 1)
	b.cost(u, u.Costs.Total())
}

// cost adds what a record cost, or what its cost came to differ by. Nothing is
// asked of a team that is not known.
func (b *bill) cost(u *gatehouse.UsageRecord, cost gatehouse.Ticks) {
	if x := b.of(u); b.team != nil && b.team.PaysAt(u.Start) {
		x.paid += cost
	} else {
		x.metered += cost
	}
	b.spend(u, cost)
}

// spend adds to the funds that a record pays from.
func (b *bill) spend(u *gatehouse.UsageRecord, cost gatehouse.Ticks) {
	if cost == 0 {
		return
	}
	if b.budgets != nil {
		b.budgets.funds(u, func(f gatehouse.Fund) { b.spent[f] += cost })
	}
	// By how the team stood when the request was made, since that is what its
	// gateway drew by: what was reserved nowhere must not end a hold of another's.
	if b.team == nil || b.team.PaysAt(u.Start) {
		b.spent[gatehouse.Fund{Team: b.id}] += cost
	}
}

// post posts what was fresh of a batch.
func (i *ingest) post(records []gatehouse.UsageRecord, fresh []bool) error {
	of := map[gatehouse.ID][]*gatehouse.UsageRecord{}
	for n := range records {
		if fresh[n] {
			of[records[n].TeamID] = append(of[records[n].TeamID], &records[n])
		}
	}
	if len(of) == 0 {
		return nil
	}
	ids := slices.SortedFunc(maps.Keys(of), func(a, b gatehouse.ID) int { return bytes.Compare(a[:], b[:]) })
	teams, err := i.teams(ids)
	if err != nil {
		return err
	}
	all := make([]*bill, len(ids))
	for n, id := range ids {
		all[n] = newBill(id, teams[id])
		for _, u := range of[id] {
			all[n].add(u)
		}
	}
	if err := i.sess.lockBooks(ids...); err != nil {
		return err
	}
	return i.settle(all, gatehouse.PostUsage)
}

// teams reads the records of teams; those that are not there are missing.
func (i *ingest) teams(ids []gatehouse.ID) (map[gatehouse.ID]*gatehouse.Team, error) {
	out := map[gatehouse.ID]*gatehouse.Team{}
	err := inParts(texts(ids), func(marks string, part []any) error {
		some, err := now(&i.view, &teamTable, "r.id IN "+marks, part...)
		for _, t := range some {
			out[t.ID] = t
		}
		return err
	})
	return out, err
}

func texts(ids []gatehouse.ID) []any {
	out := make([]any, len(ids))
	for n, id := range ids {
		out[n] = id.String()
	}
	return out
}

// settle writes bills, whose teams' books are held.
func (i *ingest) settle(all []*bill, kind gatehouse.PostingKind) error {
	cycles, err := i.openCycles(all)
	if err != nil {
		return err
	}
	credits, err := i.credits(all)
	if err != nil {
		return err
	}
	at := i.s.opts.Now().UTC().Truncate(time.Microsecond)
	var postings []gatehouse.Posting
	sums := sums{}
	var charged, spent, ingested [][]any
	for _, b := range all {
		accounts := &accounts{i, b, credits[b.id]}
		for _, c := range slices.SortedFunc(maps.Keys(b.used), func(a, b gatehouse.Cycle) int { return a.Number() - b.Number() }) {
			x, counts := b.used[c], cycles.of(b.id, c)
			charged = append(charged, x.charges.rows(b.id, counts, c)...)
			entries, err := accounts.entries(c, x)
			if err != nil {
				return err
			}
			if len(entries) > 0 {
				p := gatehouse.Posting{ID: gatehouse.NewTimeID(at), TeamID: b.id, Time: at, Kind: kind, Cycle: counts, Entries: entries}
				sums.add(&p, c)
				postings = join(postings, p)
			}
		}
		spent = append(spent, b.spent.rows()...)
		ingested = append(ingested, b.spent.holds()...)
	}
	if err := i.sess.append(postings, sums); err != nil {
		return err
	}
	if err := i.sess.many(addCharges, charged); err != nil {
		return err
	}
	if err := i.sess.many(addSpent, spent); err != nil {
		return err
	}
	if kind != gatehouse.PostUsage || i.gateway.IsZero() {
		return nil
	}
	return i.report(ingested)
}

// join adds a posting, or its entries to the last one's when that is of the
// same team and cycle: late usage of several cycles counts in one.
func join(all []gatehouse.Posting, p gatehouse.Posting) []gatehouse.Posting {
	n := len(all) - 1
	if n < 0 || all[n].TeamID != p.TeamID || all[n].Cycle != p.Cycle {
		return append(all, p)
	}
	for _, e := range p.Entries {
		all[n].Entries = with(all[n].Entries, e.Account, e.Amount)
	}
	return all
}

// with adds an entry, or its amount to the account's.
func with(all []gatehouse.Entry, account gatehouse.Account, amount gatehouse.Ticks) []gatehouse.Entry {
	if amount == 0 {
		return all
	}
	at := slices.IndexFunc(all, func(x gatehouse.Entry) bool { return x.Account == account })
	if at < 0 {
		return append(all, gatehouse.Entry{Account: account, Amount: amount})
	}
	all[at].Amount += amount
	return all
}

// closedCycles are the cycles of some teams that take no more, and what is open
// in their place.
type closedCycles struct {
	closed  map[string]bool // team and cycle
	instead map[gatehouse.ID]gatehouse.Cycle
}

// of is the cycle in which a team's usage of a cycle counts.
func (c *closedCycles) of(team gatehouse.ID, made gatehouse.Cycle) gatehouse.Cycle {
	if !c.closed[team.String()+cycleName(made)] {
		return made
	}
	return c.instead[team]
}

// openCycles finds which of the bills' cycles are closed: those that have an
// invoice.
func (i *ingest) openCycles(all []*bill) (*closedCycles, error) {
	out := &closedCycles{map[string]bool{}, map[gatehouse.ID]gatehouse.Cycle{}}
	var ids []gatehouse.ID
	earliest := cycleName(gatehouse.CycleOf(i.s.opts.Now()))
	for _, b := range all {
		ids = append(ids, b.id)
		for c := range b.used {
			earliest = min(earliest, cycleName(c))
		}
	}
	err := inParts(texts(ids), func(marks string, part []any) error {
		q := query(`SELECT team_id, name FROM invoices WHERE deleted_us = 0 AND team_id IN ` + marks + ` AND name >= ?`)
		return failed(i.sess.each(i.ctx, q, append(part, earliest), func(rows *sql.Rows) (bool, error) {
			var team, cycle string
			err := rows.Scan(&team, &cycle)
			out.closed[team+cycle] = true
			return true, err
		}))
	})
	if err != nil || len(out.closed) == 0 {
		return out, err
	}
	for _, id := range ids {
		open := gatehouse.CycleOf(i.s.opts.Now())
		for out.closed[id.String()+cycleName(open)] {
			open = open.Next()
		}
		out.instead[id] = open
	}
	return out, nil
}

// accounts is how a team's usage is paid.
type accounts struct {
	i      *ingest
	bill   *bill
	credit gatehouse.Ticks // prepaid money that is left
}

// credits is the prepaid money that those of the bills' teams have left that
// pay.
func (i *ingest) credits(all []*bill) (map[gatehouse.ID]gatehouse.Ticks, error) {
	var ids []gatehouse.ID
	for _, b := range all {
		if b.pays() {
			ids = append(ids, b.id)
		}
	}
	out := map[gatehouse.ID]gatehouse.Ticks{}
	err := inParts(texts(ids), func(marks string, part []any) error {
		q := query(`SELECT team_id, CAST(-SUM(amount) AS BIGINT) FROM balances WHERE account = '` + string(gatehouse.AccountCredit) + `' AND team_id IN ` + marks + ` GROUP BY team_id`)
		return failed(i.sess.each(i.ctx, q, part, func(rows *sql.Rows) (bool, error) {
			var id gatehouse.ID
			var team string
			var left int64
			if err := rows.Scan(&team, &left); err != nil {
				return false, err
			}
			err := id.UnmarshalText([]byte(team))
			out[id] = max(0, gatehouse.Ticks(left))
			return true, err
		}))
	})
	return out, err
}

// entries are those of a use; made is the cycle in which it arose.
func (a *accounts) entries(made gatehouse.Cycle, x *use) (out []gatehouse.Entry, err error) {
	add := func(account gatehouse.Account, amount gatehouse.Ticks) { out = with(out, account, amount) }
	if x.paid < 0 {
		if err := a.giveBack(made, -x.paid, add); err != nil {
			return nil, err
		}
	} else {
		part := min(a.credit, x.paid)
		a.credit -= part
		add(gatehouse.AccountCredit, part)
		add(gatehouse.AccountReceivable, x.paid-part)
	}
	add(gatehouse.AccountMetered, x.metered)
	add(gatehouse.AccountRevenue, -x.paid-x.metered)
	return slices.DeleteFunc(out, func(e gatehouse.Entry) bool { return e.Amount == 0 }), nil
}

// giveBack undoes a cost that turned out too high: first what is owed for the
// cycle, then what credit paid, each no more than what requests of the cycle
// took and did not get back yet, wherever it was posted. What is left over is of
// a time when nothing was posted: nobody paid it.
func (a *accounts) giveBack(made gatehouse.Cycle, cost gatehouse.Ticks, add func(gatehouse.Account, gatehouse.Ticks)) error {
	for _, account := range []gatehouse.Account{gatehouse.AccountReceivable, gatehouse.AccountCredit} {
		used, err := a.i.amount(selectUsed, a.bill.id.String(), string(account), numberOf(made))
		if err != nil {
			return err
		}
		part := min(max(0, used), cost)
		if account == gatehouse.AccountCredit {
			a.credit += part
		}
		add(account, -part)
		cost -= part
	}
	add(gatehouse.AccountMetered, -cost)
	return nil
}
