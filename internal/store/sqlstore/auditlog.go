package sqlstore

import (
	"database/sql"
	"strings"

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
	err := v.sess.each(v.ctx, selectLeaves, []any{from}, func(rows *sql.Rows) (bool, error) {
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
func (v *view) Events(f gatehouse.EventFilter) ([]gatehouse.Event, error) {
	if f.Limit <= 0 {
		return nil, nil
	}
	q, args, none, err := v.eventQuery(f)
	if err != nil || none {
		return nil, err
	}
	var out []gatehouse.Event
	err = v.sess.each(v.ctx, q, args, func(rows *sql.Rows) (bool, error) {
		var index int64
		var body, personal []byte
		if err := rows.Scan(&index, &body, &personal); err != nil {
			return false, err
		}
		e, err := audit.Decode(body, personal)
		// The body is what the log vouches for; a row whose columns were edited
		// to bring it before another team's eyes does not fit its own filter.
		if err != nil || e.Index != index || !fits(f, e) {
			v.s.damaged(gatehouse.KindInstallation, "", "an audit row differs from its body")
			return true, nil
		}
		out = append(out, e)
		return len(out) < f.Limit, nil
	})
	return out, failed(err)
}

// fits judges an event by its body, not by the columns that found it.
func fits(f gatehouse.EventFilter, e gatehouse.Event) bool {
	return (f.TeamID.IsZero() || e.TeamID == f.TeamID) && (f.UserID.IsZero() || e.Actor.UserID == f.UserID) &&
		(f.EventID.IsZero() || e.ID == f.EventID) && (f.Action == "" || e.Action == f.Action)
}

// eventQuery writes the statement of a filter. With words or an action to find
// it starts from the word index, which holds team and user too and yields in
// order of index; else a plain index leads. Both stop after a page.
func (v *view) eventQuery(f gatehouse.EventFilter) (q query, args []any, none bool, err error) {
	var w filter
	from, index := "audit a", "a.idx"
	if expression, ok := v.expression(f); ok {
		if expression == "" {
			return "", nil, true, nil
		}
		from, index = v.s.d.Match, "w.rowid"
		w.add("audit_words MATCH ?", expression)
	} else {
		plainFilter(&w, f)
	}
	if !f.EventID.IsZero() {
		w.add("a.event_id = ?", f.EventID.String())
	}
	low, high, err := v.bounds(f)
	if err != nil {
		return "", nil, false, err
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
	sql := "SELECT a.idx, a.body, a.personal FROM " + from + " " + w.where() + " ORDER BY " + index + order + " LIMIT ?"
	return query(sql), append(w.args, f.Limit+spare), false, nil
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

// expression is what the word index is asked for. ok is false when it is not
// needed; an empty expression matches nothing.
func (v *view) expression(f gatehouse.EventFilter) (expression string, ok bool) {
	if f.Query == "" && f.Action == "" {
		return "", false
	}
	var terms []string
	for _, w := range split(f.Query) {
		terms = append(terms, `"`+w+`"*`)
	}
	if f.Query != "" && len(terms) == 0 {
		return "", true // nothing but punctuation
	}
	for _, m := range markers(f.TeamID, f.UserID, f.Action) {
		terms = append(terms, `"`+m+`"`)
	}
	return strings.Join(terms, " AND "), true
}
