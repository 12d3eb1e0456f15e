package sqlstore

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	holdColumns = ` id, team_id, fund, gateway, incarnation, drawn, returned, ingested, since_us, seen_us `
	// openHold is also what indexes say: engines compare the text.
	openHold = `drawn > returned + ingested`

	selectHold query = `SELECT` + holdColumns + `FROM holds WHERE id = ?`
	selectHeld query = `SELECT COALESCE(CAST(SUM(drawn - returned - ingested) AS BIGINT), 0) FROM holds WHERE fund = ? AND ` + openHold
	selectOwn  query = `SELECT drawn, returned, ingested, seq FROM holds WHERE fund = ? AND gateway = ? AND incarnation = ?`
	// selectOthers is what the fund's other holds have open, and how many asked
	// since a moment.
	selectOthers query = `SELECT COALESCE(CAST(SUM(CASE WHEN ` + openHold + ` THEN drawn - returned - ingested ELSE 0 END) AS BIGINT), 0),
COALESCE(CAST(SUM(CASE WHEN seen_us > ? THEN 1 ELSE 0 END) AS BIGINT), 0) FROM holds WHERE fund = ? AND NOT (gateway = ? AND incarnation = ?)`
	drawHold query = `INSERT INTO holds (id, team_id, fund, gateway, incarnation, seq, drawn, returned, ingested, since_us, seen_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?) ON CONFLICT (fund, gateway, incarnation) DO UPDATE SET seq = excluded.seq, drawn = excluded.drawn,
returned = excluded.returned, seen_us = CASE WHEN excluded.seen_us > holds.seen_us THEN excluded.seen_us ELSE holds.seen_us END`
	selectEver         = query(`SELECT 1 FROM balances WHERE team_id = ? AND account = '` + string(gatehouse.AccountCredit) + `' AND used = 0`)
	selectEnding query = `SELECT team_id FROM holds WHERE gateway = ? AND incarnation < ? AND ` + openHold
	endHold      query = `UPDATE holds SET returned = drawn - ingested WHERE id = ? AND ` + openHold
	endHolds     query = `UPDATE holds SET returned = drawn - ingested WHERE gateway = ? AND incarnation < ? AND ` + openHold
	// trimHolds forgets what is over: drawn again it begins anew.
	trimHolds query = `DELETE FROM holds WHERE drawn <= returned + ingested AND seen_us < ?
AND id IN (SELECT id FROM holds WHERE drawn <= returned + ingested AND seen_us < ? LIMIT ?)`

	// holdsIdle is how long a hold that is over is kept after its gateway last
	// asked: gateways remember a fund that is overspent for a day.
	holdsIdle = 25 * time.Hour
	// sharing is how recently whoever shares a fund asked.
	sharing = 3 * time.Second
)

// holds are what spending reports of a gateway's holds: fund and ticks, in the
// order of funds.
func (s spending) holds() (out [][]any) {
	for f, ticks := range s {
		if ticks != 0 {
			out = append(out, []any{f.String(), int64(ticks)})
		}
	}
	slices.SortFunc(out, func(a, b []any) int { return strings.Compare(a[0].(string), b[0].(string)) })
	return out
}

// report counts what was ingested on the holds that the gateway has; most funds
// it never drew from.
func (i *ingest) report(rows [][]any) error {
	return i.sess.many(func(marks string) query {
		typed := strings.ReplaceAll(marks, "(?, ?)", "(CAST(? AS TEXT), CAST(? AS BIGINT))")
		return query(`UPDATE holds SET ingested = ingested + of.column2 FROM (VALUES ` + typed + `) AS of
WHERE holds.fund = of.column1 AND holds.gateway = ? AND holds.incarnation = ?`)
	}, rows, i.gateway.String(), i.incarnation)
}

func scanHold(rows scanner) (*gatehouse.Hold, error) {
	h := &gatehouse.Hold{}
	var id, team, gateway string
	var since, seen int64
	if err := rows.Scan(&id, &team, &h.Fund, &gateway, &h.Incarnation, &h.Drawn, &h.Returned, &h.Ingested, &since, &seen); err != nil {
		return nil, err
	}
	h.Since, h.Seen = fromMicros(since), fromMicros(seen)
	for to, text := range map[*gatehouse.ID]string{&h.ID: id, &h.TeamID: team, &h.Gateway: gateway} {
		if err := to.UnmarshalText([]byte(text)); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Hold implements [store.BillingView].
func (v *view) Hold(id gatehouse.ID) (h *gatehouse.Hold, err error) {
	err = v.sess.each(v.ctx, selectHold, []any{id.String()}, func(rows *sql.Rows) (bool, error) {
		h, err = scanHold(rows)
		return false, err
	})
	if err == nil && h == nil {
		return nil, gatehouse.Errorf(gatehouse.NotFound, "no such hold")
	}
	return h, failed(err)
}

// Holds implements [store.BillingView].
func (v *view) Holds(team gatehouse.ID, after store.Cursor, limit int) (out []*gatehouse.Hold, err error) {
	var f filter
	f.add(openHold)
	if !team.IsZero() {
		f.add("team_id = ?", team.String())
	}
	if after != (store.Cursor{}) {
		f.add("(since_us, id) > (?, ?)", micros(after.Time), after.ID)
	}
	q := `SELECT` + holdColumns + `FROM holds ` + f.where() + ` ORDER BY since_us, id LIMIT ?`
	err = v.sess.each(v.ctx, query(q), append(f.args, limit), func(rows *sql.Rows) (bool, error) {
		h, err := scanHold(rows)
		out = append(out, h)
		return true, err
	})
	return out, failed(err)
}

// HeldBy implements [store.BillingView].
func (v *view) HeldBy(f gatehouse.Fund) (gatehouse.Ticks, error) {
	return v.amount(selectHeld, f.String())
}

// EndHold implements [store.BillingTx].
func (t *tx) EndHold(id gatehouse.ID) error {
	h, err := t.Hold(id)
	if err != nil {
		return err
	}
	if err := t.lockBooks(h.TeamID); err != nil {
		return err
	}
	if _, err := t.sess.exec(endHold, id.String()); err != nil {
		return t.fail(err)
	}
	return nil
}

// EndIncarnations implements [store.BillingWork].
func (w work) EndIncarnations(gateway gatehouse.ID, before int64) error {
	var teams []gatehouse.ID
	err := w.sess.each(context.Background(), selectEnding, []any{gateway.String(), before}, func(rows *sql.Rows) (bool, error) {
		var team string
		if err := rows.Scan(&team); err != nil {
			return false, err
		}
		id, err := gatehouse.ParseID(team)
		teams = append(teams, id)
		return true, err
	})
	if err != nil || len(teams) == 0 {
		return failed(err)
	}
	if err := w.sess.lockBooks(teams...); err != nil {
		return err
	}
	_, err = w.sess.exec(endHolds, gateway.String(), before)
	return failed(err)
}

// own is a hold as a Draw finds and leaves it.
type own struct {
	drawn, returned, ingested gatehouse.Ticks
	seq                       int64
	there                     bool
}

func (o *own) open() gatehouse.Ticks { return max(0, o.drawn-o.returned-o.ingested) }

// Draw implements [store.BillingWork].
func (w work) Draw(d store.Draw) (out store.Drawn, err error) {
	if d.Want < 0 || d.Least < 0 || d.Returned < 0 || d.Fund.Team.IsZero() || d.Gateway.IsZero() {
		return out, gatehouse.Errorf(gatehouse.InvalidArgument, "a draw needs a team and a gateway, and amounts that are not negative")
	}
	if d.Now.IsZero() {
		d.Now = w.now
	}
	if err := w.sess.lockBooks(d.Fund.Team); err != nil {
		return out, err
	}
	v := &view{s: w.s, ctx: context.Background(), sess: w.sess}
	fund, err := w.bound(v, d.Fund)
	if err != nil {
		return out, err
	}
	h := own{seq: -1}
	key := []any{d.Fund.String(), d.Gateway.String(), d.Incarnation}
	if h.there, err = w.sess.one(selectOwn, key, &h.drawn, &h.returned, &h.ingested, &h.seq); err != nil {
		return out, failed(err)
	}
	if _, err := w.sess.one(selectOthers, append([]any{micros(d.Now.Add(-sharing))}, key...), &out.Held, &out.Others); err != nil {
		return out, failed(err)
	}
	bound, never, err := v.worth(fund, d.Now)
	if err != nil {
		return out, err
	}
	if !h.there && d.Returned > 0 {
		d.Want = 0 // its hold was lost with what a backup does not have: it hears so, and begins anew
	}
	take(&h, d, fund, bound-out.Held)
	out.Drawn, out.Returned, out.Never = h.drawn, h.returned, never
	switch out.Left = bound - out.Held - h.open(); {
	case fund.team == nil:
		out.Left = 0
	case fund.free():
		out.Left = unbounded
	}
	if fund.team == nil && !h.there {
		return out, nil
	}
	return out, w.keep(d, &h)
}

// unbounded is what is left of what nothing bounds.
const unbounded = math.MaxInt64 / 2

// take settles a draw with the hold; has is what the fund has beside what
// others hold.
func take(h *own, d store.Draw, fund *bounded, has gatehouse.Ticks) {
	if d.Seq <= h.seq {
		return
	}
	h.seq = d.Seq
	h.returned = min(h.drawn, max(h.returned, d.Returned))
	if d.Want <= h.drawn {
		return
	}
	grant := d.Want - h.drawn
	if !fund.free() {
		grant = min(grant, has-h.open())
	}
	if grant > 0 && h.drawn+grant >= d.Least {
		h.drawn += grant
	}
}

// keep writes a hold. One that asked in vain is kept too, so that others know
// who shares the fund, and that an older request that comes late is refused.
func (w work) keep(d store.Draw, h *own) error {
	_, err := w.sess.exec(drawHold, gatehouse.NewTimeID(d.Now).String(), d.Fund.Team.String(), d.Fund.String(), d.Gateway.String(), d.Incarnation,
		h.seq, int64(h.drawn), int64(h.returned), micros(d.Now), micros(d.Now))
	return failed(err)
}

// bounded is a fund with what bounds it.
type bounded struct {
	gatehouse.Fund
	team   *gatehouse.Team   // nil: gone
	budget *gatehouse.Budget // nil: the team's money, or a budget that is gone
}

// free reports that nothing bounds the fund.
func (b *bounded) free() bool {
	if b.team == nil || b.budget != nil {
		return false
	}
	return !b.Budget.IsZero() || !b.team.Billing.Pays()
}

// bound finds what bounds a fund.
func (w work) bound(v *view, f gatehouse.Fund) (*bounded, error) {
	b := &bounded{Fund: f, team: w.teams[f.Team]}
	if b.team == nil {
		teams, err := now(v, &teamTable, "r.id = ? AND r.deleted_us = 0", f.Team.String())
		if err != nil || len(teams) == 0 {
			return b, err
		}
		b.team = teams[0]
		w.teams[f.Team] = b.team
	}
	if at := slices.IndexFunc(b.team.Budgets, func(x gatehouse.Budget) bool { return x.ID == f.Budget }); at >= 0 && !f.Budget.IsZero() {
		b.budget = &b.team.Budgets[at]
	}
	return b, nil
}

// worth is what a fund has beside what is held; never says that it is the
// credit of a prepaid team that never got any.
func (v *view) worth(b *bounded, at time.Time) (has gatehouse.Ticks, never bool, err error) {
	switch {
	case b.team == nil || b.free():
		return 0, false, nil
	case b.budget != nil:
		spent, err := v.Spent(b.Fund)
		return b.budget.Amount - spent, false, err
	}
	if has, err = v.amount(selectCredit, b.Team.String()); err != nil {
		return 0, false, err
	}
	if has = max(0, has); b.team.Billing == gatehouse.BillingPostpaid {
		more, err := v.debt(b.Team, at)
		return has + more, false, err
	}
	if has == 0 {
		ever, err := v.sess.one(selectEver, []any{b.Team.String()}, new(int))
		return 0, !ever, failed(err)
	}
	return has, false, nil
}

const selectCredit = query(`SELECT COALESCE(CAST(-SUM(amount) AS BIGINT), 0) FROM balances WHERE team_id = ? AND account = '` + string(gatehouse.AccountCredit) + `'`)

// debt is what a team may yet owe in the running cycle. A limit that was
// lowered below what is owed takes nothing from the credit.
func (v *view) debt(team gatehouse.ID, at time.Time) (gatehouse.Ticks, error) {
	var account *gatehouse.BillingAccount
	found, err := now(v, &billingTable, "r.id = ? AND r.deleted_us = 0", team.String())
	if err != nil {
		return 0, err
	}
	if len(found) > 0 {
		account = found[0]
	}
	owed, err := v.CycleBalance(team, gatehouse.AccountReceivable, gatehouse.CycleOf(at))
	return max(0, account.EffectiveLimit()-owed), err
}
