package sqlstore

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"slices"

	"gatehouse"
	"gatehouse/internal/store"
)

// The ledger is postings, which are appended, and their sums by account, cycle
// and the cycle that they are for, which are kept in the same transaction.
// Whoever writes either holds the team's books.

const (
	postingColumns = ` id, team_id, time_us, kind, cycle, ref, note, entries `

	selectPosting  query = `SELECT id FROM postings WHERE id = ?`
	selectBalances query = `SELECT account, CAST(SUM(amount) AS BIGINT) FROM balances WHERE team_id = ? GROUP BY account`
	selectCycle    query = `SELECT COALESCE(CAST(SUM(amount) AS BIGINT), 0) FROM balances WHERE team_id = ? AND account = ? AND cycle = ?`
	selectSpend          = query(`SELECT cycle, CAST(SUM(amount) AS BIGINT) FROM balances WHERE team_id = ? AND account = '` + string(gatehouse.AccountCredit) + `' AND used = 1 GROUP BY cycle`)
	selectUsed     query = `SELECT COALESCE(CAST(SUM(amount) AS BIGINT), 0) FROM balances WHERE team_id = ? AND account = ? AND for_cycle = ? AND used = 1`
)

func insertPostings(marks string) query {
	return query(`INSERT INTO postings (` + postingColumns + `) VALUES ` + marks)
}

func addBalances(marks string) query {
	return query(`INSERT INTO balances (team_id, account, cycle, for_cycle, used, amount) VALUES ` + marks + `
ON CONFLICT (team_id, account, cycle, for_cycle, used) DO UPDATE SET amount = balances.amount + excluded.amount`)
}

// cycleOf inverts [gatehouse.Cycle.Number].
func cycleOf(number int64) gatehouse.Cycle {
	if number == 0 {
		return gatehouse.Cycle{}
	}
	return gatehouse.Cycle{Year: int(number / 12), Month: int(number%12) + 1}
}

// numberOf is a cycle's number; 0 for none.
func numberOf(c gatehouse.Cycle) int64 {
	if c.IsZero() {
		return 0
	}
	return int64(c.Number())
}

// isUse reports whether a posting says what requests cost.
func isUse(k gatehouse.PostingKind) int {
	if k == gatehouse.PostUsage || k == gatehouse.PostAdjustment {
		return 1
	}
	return 0
}

// sums are what postings add to balances.
type sums map[sumKey]gatehouse.Ticks

type sumKey struct {
	team        gatehouse.ID
	account     gatehouse.Account
	cycle, made int64
	used        int
}

// add adds a posting; made is the cycle that it is for.
func (s sums) add(p *gatehouse.Posting, made gatehouse.Cycle) {
	for _, e := range p.Entries {
		s[sumKey{p.TeamID, e.Account, numberOf(p.Cycle), numberOf(made), isUse(p.Kind)}] += e.Amount
	}
}

// append writes postings that balance, and their sums.
func (s *session) append(postings []gatehouse.Posting, sums sums) error {
	rows := make([][]any, len(postings))
	for n := range postings {
		p := &postings[n]
		entries, err := json.Marshal(p.Entries)
		if err != nil {
			return err
		}
		if !p.Balanced() {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "the entries of a posting do not sum to zero")
		}
		rows[n] = []any{p.ID.String(), p.TeamID.String(), micros(p.Time), string(p.Kind), numberOf(p.Cycle), p.Ref, p.Note, string(entries)}
	}
	var balances [][]any
	for k, amount := range sums {
		balances = append(balances, []any{k.team.String(), string(k.account), k.cycle, k.made, k.used, int64(amount)})
	}
	if err := s.many(insertPostings, rows); err != nil {
		return err
	}
	return s.many(addBalances, balances)
}

// Post implements [store.BillingTx].
func (t *tx) Post(p *gatehouse.Posting) error {
	if p.ID.IsZero() {
		p.ID = gatehouse.NewTimeID(t.now)
	}
	if p.Time.IsZero() {
		p.Time = t.now
	}
	if p.TeamID.IsZero() || p.Kind == "" || !p.Cycle.Valid() || len(p.Entries) == 0 || !p.Balanced() ||
		slices.ContainsFunc(p.Entries, func(e gatehouse.Entry) bool { return e.Account == "" }) {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "a posting needs a team, a kind, a cycle, and entries that name accounts and sum to zero")
	}
	if err := t.lockBooks(p.TeamID); err != nil {
		return err
	}
	there, err := t.sess.one(selectPosting, []any{p.ID.String()}, new(string))
	if err != nil {
		return t.fail(err)
	}
	if there {
		return gatehouse.Errorf(gatehouse.AlreadyExists, "the posting was posted")
	}
	sums := sums{}
	sums.add(p, p.Cycle)
	if err := t.sess.append([]gatehouse.Posting{*p}, sums); err != nil {
		return t.fail(err)
	}
	t.posted = true
	return nil
}

// lockBooks is the session's, once for each team.
func (t *tx) lockBooks(team gatehouse.ID) error {
	if slices.Contains(t.locked, team) {
		return nil
	}
	if err := t.sess.lockBooks(team); err != nil {
		return t.fail(err)
	}
	t.locked = append(t.locked, team)
	return nil
}

// Balances implements [store.BillingView].
func (v *view) Balances(team gatehouse.ID) (map[gatehouse.Account]gatehouse.Ticks, error) {
	out := map[gatehouse.Account]gatehouse.Ticks{}
	err := v.sess.each(v.ctx, selectBalances, []any{team.String()}, func(rows *sql.Rows) (bool, error) {
		var account string
		var amount int64
		err := rows.Scan(&account, &amount)
		out[gatehouse.Account(account)] = gatehouse.Ticks(amount)
		return true, err
	})
	return out, failed(err)
}

// CycleBalance implements [store.BillingView].
func (v *view) CycleBalance(team gatehouse.ID, account gatehouse.Account, cycle gatehouse.Cycle) (gatehouse.Ticks, error) {
	return v.amount(selectCycle, team.String(), string(account), numberOf(cycle))
}

// amount reads one number; 0 where there is no row.
func (v *view) amount(q query, args ...any) (gatehouse.Ticks, error) {
	var amount int64
	_, err := v.sess.one(q, args, &amount)
	return gatehouse.Ticks(amount), failed(err)
}

// CycleSpend implements [store.BillingView].
func (v *view) CycleSpend(team gatehouse.ID) (map[gatehouse.Cycle]gatehouse.Ticks, error) {
	out := map[gatehouse.Cycle]gatehouse.Ticks{}
	err := v.sess.each(v.ctx, selectSpend, []any{team.String()}, func(rows *sql.Rows) (bool, error) {
		var cycle, amount int64
		err := rows.Scan(&cycle, &amount)
		out[cycleOf(cycle)] = gatehouse.Ticks(amount)
		return true, err
	})
	return out, failed(err)
}

// Postings implements [store.BillingView].
func (v *view) Postings(team gatehouse.ID, after store.Cursor, limit int) ([]*gatehouse.Posting, error) {
	var f filter
	f.add("team_id = ?", team.String())
	f.before(after)
	var out []*gatehouse.Posting
	q := `SELECT` + postingColumns + `FROM postings ` + f.where() + ` ORDER BY time_us DESC, id DESC LIMIT ?`
	err := v.sess.each(v.ctx, query(q), append(f.args, limit), func(rows *sql.Rows) (bool, error) {
		p, err := scanPosting(rows)
		out = append(out, p)
		return true, err
	})
	return out, failed(err)
}

// CreditPostings implements [store.BillingView].
func (v *view) CreditPostings(team gatehouse.ID) (out []*gatehouse.Posting, err error) {
	const q query = `SELECT` + postingColumns + `FROM postings WHERE team_id = ? AND kind IN ('grant', 'refund') ORDER BY time_us DESC, id DESC`
	err = v.sess.each(v.ctx, q, []any{team.String()}, func(rows *sql.Rows) (bool, error) {
		p, err := scanPosting(rows)
		out = append(out, p)
		return true, err
	})
	return out, failed(err)
}

// before continues a list ordered by (time_us, id), the newest first.
func (f *filter) before(c store.Cursor) {
	if c != (store.Cursor{}) {
		f.add("(time_us, id) < (?, ?)", micros(c.Time), c.ID)
	}
}

func scanPosting(rows *sql.Rows) (*gatehouse.Posting, error) {
	p := &gatehouse.Posting{}
	var id, team, entries string
	var us, cycle int64
	if err := rows.Scan(&id, &team, &us, &p.Kind, &cycle, &p.Ref, &p.Note, &entries); err != nil {
		return nil, err
	}
	p.Time, p.Cycle = fromMicros(us), cycleOf(cycle)
	return p, cmp.Or(p.ID.UnmarshalText([]byte(id)), p.TeamID.UnmarshalText([]byte(team)), json.Unmarshal([]byte(entries), &p.Entries))
}

// Within an Update whoever reads a team's money keeps others from it.

// Balances implements [store.BillingView].
func (t *tx) Balances(team gatehouse.ID) (map[gatehouse.Account]gatehouse.Ticks, error) {
	if err := t.lockBooks(team); err != nil {
		return nil, err
	}
	return t.view.Balances(team)
}

// CycleBalance implements [store.BillingView].
func (t *tx) CycleBalance(team gatehouse.ID, account gatehouse.Account, cycle gatehouse.Cycle) (gatehouse.Ticks, error) {
	if err := t.lockBooks(team); err != nil {
		return 0, err
	}
	return t.view.CycleBalance(team, account, cycle)
}

// CycleSpend implements [store.BillingView].
func (t *tx) CycleSpend(team gatehouse.ID) (map[gatehouse.Cycle]gatehouse.Ticks, error) {
	if err := t.lockBooks(team); err != nil {
		return nil, err
	}
	return t.view.CycleSpend(team)
}

// Postings implements [store.BillingView].
func (t *tx) Postings(team gatehouse.ID, after store.Cursor, limit int) ([]*gatehouse.Posting, error) {
	if err := t.lockBooks(team); err != nil {
		return nil, err
	}
	return t.view.Postings(team, after, limit)
}

// Charges implements [store.BillingView].
func (t *tx) Charges(team gatehouse.ID, cycle gatehouse.Cycle) ([]gatehouse.Charge, error) {
	if err := t.lockBooks(team); err != nil {
		return nil, err
	}
	return t.view.Charges(team, cycle)
}
