package sqlstore

// The bounds of a sweep: how many rows are judged by one goroutine, and how many
// goroutines judge at a time. Reading takes about half as long as judging, so more
// would wait for rows, and would take processors from requests.
const (
	sweepRows   = 64
	sweepJudges = 2
)

// bundle is rows that were read one after the other, and what they turned out
// to be.
type bundle[T any] struct {
	rows   []row
	judged []judgement[T]
	done   chan struct{}
}

// judgement is what decode said of a row.
type judgement[T any] struct {
	record *T
	why    string
}

// sweep is walk for whole tables. Rows are judged beside reading them: that is
// most of what a snapshot for a gateway costs. Whoever calls reads and yields, so
// the session has one user still, and the order stays that of the rows.
func sweep[T any](v *view, a *authority[T], q query, yield func(*T) error) error {
	if v.own != nil { // what rows are judged by may change under way
		return walk(v, a, v.sess.scan, q, nil, func(x *T) (bool, error) { return true, yield(x) })
	}
	if err := v.catchUp(); err != nil {
		return failed(err)
	}
	// Judging may ask for it, and must find it without the session.
	if _, err := v.state(); err != nil {
		return err
	}
	s := sweeper[T]{view: v, of: a, yield: yield}
	var r row
	into := r.into()
	err := v.sess.scan(v.ctx, q, nil, func(rows scanner) (bool, error) {
		if err := rows.Scan(into...); err != nil {
			return false, err
		}
		s.add(r)
		return s.err == nil, nil
	})
	s.end(err == nil)
	if s.err != nil {
		return s.err
	}
	return failed(err)
}

// sweeper is a sweep under way.
type sweeper[T any] struct {
	view  *view
	of    *authority[T]
	yield func(*T) error
	err   error        // of yield
	open  *bundle[T]   // being filled
	ahead []*bundle[T] // being judged, oldest first
}

func (s *sweeper[T]) add(r row) {
	if s.open == nil {
		s.open = &bundle[T]{rows: make([]row, 0, sweepRows), done: make(chan struct{})}
	}
	if s.open.rows = append(s.open.rows, r); len(s.open.rows) == sweepRows {
		s.judge()
	}
}

// judge hands the open bundle over, and takes back the oldest when there are
// enough.
func (s *sweeper[T]) judge() {
	b := s.open
	s.open, s.ahead = nil, append(s.ahead, b)
	go func() {
		defer close(b.done)
		b.judged = make([]judgement[T], len(b.rows))
		for i := range b.rows {
			b.judged[i].record, b.judged[i].why = decode(s.view, s.of, &b.rows[i])
		}
	}()
	if len(s.ahead) > sweepJudges {
		s.take()
	}
}

// take waits for the oldest bundle and yields what is in it.
func (s *sweeper[T]) take() {
	b := s.ahead[0]
	s.ahead = s.ahead[1:]
	<-b.done
	for i, j := range b.judged {
		switch {
		case s.err != nil:
			return
		case j.why != "":
			s.view.s.damaged(s.of.kind, b.rows[i].id, j.why)
		default:
			s.err = s.yield(j.record)
		}
	}
}

// end waits for whoever judges, and yields the rest unless the sweep failed.
func (s *sweeper[T]) end(whole bool) {
	if whole && s.err == nil && s.open != nil {
		s.judge()
	}
	for len(s.ahead) > 0 {
		if whole {
			s.take()
			continue
		}
		<-s.ahead[0].done
		s.ahead = s.ahead[1:]
	}
}
