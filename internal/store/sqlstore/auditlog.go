package sqlstore

import (
	"database/sql"
	"math"
	"slices"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/store"
)

const (
	selectLeaves     query = `SELECT idx, body, personal, signature FROM audit WHERE idx >= ? ORDER BY idx`
	selectCheckpoint query = `SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1`
	selectLate       query = `SELECT late_us FROM audit WHERE idx = ?`
	selectBehind     query = `SELECT 1 FROM audit WHERE time_us < late_us AND time_us < ? AND idx >= ? LIMIT 1`
)

// Leaves implements [store.AuditView].
func (v *view) Leaves(from int64, yield func(store.Leaf) error) error {
	var own error
	err := v.sess.scan(v.ctx, selectLeaves, []any{from}, func(rows scanner) (bool, error) {
		var l store.Leaf
		if err := rows.Scan(&l.Index, &l.Body, &l.Personal, &l.Signature); err != nil {
			return false, err
		}
		own = yield(l)
		return own == nil, nil
	})
	if own != nil {
		return own
	}
	return failed(err)
}

// Tree implements [store.AuditView].
func (v *view) Tree() (store.Tree, error) {
	st, err := v.state()
	return st.tree, err
}

// Checkpoint implements [store.AuditView].
func (v *view) Checkpoint() ([]byte, error) {
	var note []byte
	_, err := v.sess.one(selectCheckpoint, nil, &note)
	return note, failed(err)
}

// Events implements [store.AuditView].
func (v *view) Events(f gatehouse.EventFilter) (out []gatehouse.Event, err error) {
	if f.Limit <= 0 {
		return nil, nil
	}
	m, worded, none := matchOf(f)
	if none {
		return nil, nil
	}
	if err := v.sess.asSystem(func() error { m.Low, m.High, err = v.bounds(f); return err }); err != nil {
		return nil, failed(err)
	}
	if worded && v.s.d.Blocks && f.EventID.IsZero() && len(m.Prefixes)+len(m.Exact) > 1 {
		return v.sift(f, m)
	}
	err = v.search(f, m.Low, m.High, &out)
	return out, err
}

// search has the engine look through a piece of the log.
func (v *view) search(f gatehouse.EventFilter, low, high int64, out *[]gatehouse.Event) error {
	q, args := v.eventQuery(f, low, high)
	return failed(v.sess.each(v.ctx, q, args, func(rows *sql.Rows) (bool, error) {
		var index int64
		var body, personal []byte
		if err := rows.Scan(&index, &body, &personal); err != nil {
			return false, err
		}
		v.take(f, index, body, personal, out)
		return len(*out) < f.Limit, nil
	}))
}

// take adds an event that was found. The body is what the log vouches for: a
// row whose columns were edited to bring it before another team's eyes does not
// fit its own filter.
func (v *view) take(f gatehouse.EventFilter, index int64, body, personal []byte, out *[]gatehouse.Event) {
	e, err := audit.Decode(body, personal)
	if err != nil || e.Index != index || !fits(f, e) {
		v.s.damaged(gatehouse.KindInstallation, "", "an audit row differs from its body")
		return
	}
	*out = append(*out, e)
}

// fits judges an event by its body, not by the columns that found it.
func fits(f gatehouse.EventFilter, e gatehouse.Event) bool {
	return (f.TeamID.IsZero() || e.TeamID == f.TeamID) && (f.UserID.IsZero() || e.Actor.UserID == f.UserID) &&
		(f.EventID.IsZero() || e.ID == f.EventID) && (f.Action == "" || e.Action == f.Action)
}

// eventQuery writes the statement of a filter. With words or an action to find
// it starts from the word index, which holds team and user too and yields in
// order of index; else a plain index leads. Both stop after a page.
func (v *view) eventQuery(f gatehouse.EventFilter, low, high int64) (q query, args []any) {
	var w filter
	m := Matched{From: "audit a", Index: "a.idx"}
	if match, worded, _ := matchOf(f); worded {
		match.Low, match.High = low, high
		m = v.s.d.Match(match)
		if m.Where != "" {
			w.add(m.Where, m.Args...)
		}
	} else {
		plainFilter(&w, f)
	}
	index := m.Index
	if !f.EventID.IsZero() {
		w.add("a.event_id = ?", f.EventID.String())
	}
	w.add(index+" >= ? AND "+index+" < ?", low, high)
	if !f.From.IsZero() {
		w.add("a.time_us >= ?", micros(f.From))
	}
	if !f.To.IsZero() {
		w.add("a.time_us < ?", micros(f.To))
	}
	order := " DESC"
	if f.Ascending {
		order = ""
	}
	sql := "SELECT a.idx, a.body, a.personal FROM " + m.From + " " + w.where() + " ORDER BY " + index + order + " LIMIT ?"
	return query(sql), slices.Concat(m.FromArgs, w.args, []any{f.Limit + spare})
}

// plainFilter narrows without the word index.
func plainFilter(w *filter, f gatehouse.EventFilter) {
	if !f.TeamID.IsZero() {
		w.add("a.team_id = ?", f.TeamID.String())
	}
	if !f.UserID.IsZero() {
		// The second term lets the partial index serve.
		w.add("a.user_id = ? AND a.user_id <> ''", f.UserID.String())
	}
}

// bounds are the indexes [low, high) outside which nothing can fit: the
// cursor's, and those that the times imply. late_us never falls as the index
// grows, so the first event at or after a time is found by halving. An
// event may still lie behind that place with an earlier time, when the clock
// was set back; the table keeps a list of those, nearly always empty.
func (v *view) bounds(f gatehouse.EventFilter) (low, high int64, err error) {
	tree, err := v.Tree()
	if err != nil {
		return 0, 0, err
	}
	low, high = 0, tree.Size
	if f.After >= 0 && f.Ascending {
		low = f.After + 1
	} else if f.After >= 0 {
		high = min(high, f.After)
	}
	if !f.From.IsZero() {
		first, err := v.firstAt(micros(f.From), tree.Size)
		if err != nil {
			return 0, 0, err
		}
		low = max(low, first)
	}
	if f.To.IsZero() {
		return low, high, nil
	}
	end, err := v.firstAt(micros(f.To), tree.Size)
	if err != nil {
		return 0, 0, err
	}
	behind, err := v.sess.one(selectBehind, []any{micros(f.To), end}, new(int))
	if !behind {
		high = min(high, end)
	}
	return low, high, failed(err)
}

// firstAt is the first index whose late_us reaches a time; size when none does.
func (v *view) firstAt(us, size int64) (int64, error) {
	low, high := int64(0), size
	for low < high {
		mid := low + (high-low)/2
		var late int64
		if _, err := v.sess.one(selectLate, []any{mid}, &late); err != nil {
			return 0, failed(err)
		}
		if late >= us {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low, nil
}

// matchOf is what the word index is asked for. ok is false when it is not
// needed; none says that nothing can match.
func matchOf(f gatehouse.EventFilter) (m Match, ok, none bool) {
	if f.Query == "" && f.Action == "" {
		return m, false, false
	}
	m = Match{Prefixes: split(f.Query), Exact: markers(f.TeamID, f.UserID, f.Action), Ascending: f.Ascending, Most: int64(f.Limit + spare)}
	if !f.EventID.IsZero() || !f.From.IsZero() || !f.To.IsZero() {
		m.Most = math.MaxInt64 // what else narrows may leave out any number of them
	}
	return m, true, f.Query != "" && len(m.Prefixes) == 0 // nothing but punctuation
}
