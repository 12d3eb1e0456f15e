package sqlstore

import (
	"context"

	"gatehouse"
	"gatehouse/internal/store"
)

// NewEpoch begins a timeline: after a restore from a backup, or a failover that
// may have lost the tail. Revisions start again from zero in it, and every
// gateway takes a snapshot, after it said what it knows to be deleted. It
// returns the last revision of the epoch before.
func (s *Store) NewEpoch(ctx context.Context) (before gatehouse.Revision, err error) {
	err = s.perform(store.System(ctx), func(w *session) error {
		st, err := s.readState(w, lockState)
		if err != nil {
			return failed(err)
		}
		before = st.rev
		st.rev = gatehouse.Revision{Epoch: st.rev.Epoch + 1}
		if err := s.writeState(w, st); err != nil {
			return failed(err)
		}
		// What followed the old timeline may have seen acts that this one lacks: the
		// floor makes it take a snapshot.
		_, err = w.exec(raiseFloor, st.rev.Epoch, st.rev.N)
		return failed(err)
	})
	if err == nil {
		s.Wake()
	}
	return before, err
}
