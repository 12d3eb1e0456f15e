package sqlstore

import (
	"context"
	"errors"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// verdict is an error that concerns a whole group and that running its members
// one by one would not mend.
type verdict struct{ cause *gatehouse.Error }

func (v verdict) Error() string { return v.cause.Error() }
func (v verdict) Unwrap() error { return v.cause }

func final(err error) bool {
	var v verdict
	return errors.As(err, &v)
}

const (
	selectEventAt query = `SELECT event_id FROM audit WHERE idx = ?`

	// settleFor is how long an outcome is asked for; callers wait meanwhile, and
	// whoever gave up learns it from Idempotency-Key when they come again.
	settleFor   = 10 * time.Second
	settleEvery = 100 * time.Millisecond
)

// silent reports an error that is not the server's no.
func (s *Store) silent(err error) bool { return s.d.Refused != nil && !s.d.Refused(err) }

// settle finds out what became of a COMMIT that was not answered. The lock on
// the installation row is free only once the server has ended the transaction,
// one way or the other; after that the log either has the group's first leaf in
// its place or it never will. nil means that the group is durable.
//
// A group that left no leaf may run again without harm: what it remembers is
// remembered under the same names.
func (s *Store) settle(g *group, cause error) error {
	if !s.silent(cause) || g.event == "" {
		return cause
	}
	s.writer.discard()
	for end := time.Now().Add(settleFor); ; {
		kept, err := s.kept(g)
		switch {
		case err == nil && kept:
			return nil
		case err == nil:
			return cause
		case time.Now().After(end):
			return verdict{store.Unsettled(errors.Join(cause, err))}
		}
		select {
		case <-time.After(settleEvery):
		case <-s.quit:
			return verdict{store.Unsettled(cause)}
		}
	}
}

// kept looks for the group's first leaf in the log.
func (s *Store) kept(g *group) (kept bool, err error) {
	w := s.writer
	if err := w.begin(context.Background(), s.d.Begin); err != nil {
		return false, err
	}
	defer w.rollback()
	if err := w.see(everyTeam); err != nil {
		return false, err
	}
	st, err := s.readState(w, lockState)
	if err != nil || st.tree.Size < g.state.tree.Size {
		return false, err
	}
	var event string
	_, err = w.one(selectEventAt, []any{g.first.tree.Size}, &event)
	return event == g.event, err
}
