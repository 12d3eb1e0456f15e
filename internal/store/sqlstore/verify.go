package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"time"

	"gatehouse"
	"gatehouse/internal/audit"
)

const (
	selectLog query = `SELECT idx, event_id, time_us, late_us, team_id, user_id, action, body FROM audit ORDER BY idx`
	// selectSigned is the same with signatures, which replaying does not need.
	selectSigned query = `SELECT idx, event_id, time_us, late_us, team_id, user_id, action, body, signature FROM audit ORDER BY idx`
	countLog     query = `SELECT COUNT(*) FROM audit`
)

// verify proves at open that the log is whole, and fills the heads from it. A
// database without an installation row is new, unless it already has a log.
func (s *Store) verify(ctx context.Context) error {
	if err := s.writer.within(ctx, s.d.Begin, s.install); err != nil {
		return failed(err)
	}
	// One snapshot: others may write meanwhile.
	err := s.writer.within(ctx, s.d.BeginRead, func() error {
		if err := s.sameSecrets(); err != nil {
			return err
		}
		st, err := s.readState(s.writer, selectState)
		if err != nil {
			return err
		}
		return s.replay(ctx, st)
	})
	return failed(err)
}

// install makes a new database's row: the first timeline, before any act.
func (s *Store) install() error {
	found, err := s.writer.one(`SELECT id FROM installation`, nil, new(int))
	if err != nil || found {
		return failed(err)
	}
	var leaves int64
	if _, err := s.writer.one(countLog, nil, &leaves); err != nil {
		return failed(err)
	}
	if leaves > 0 {
		return gatehouse.Errorf(gatehouse.Internal, "the installation row is missing, and there is an audit log")
	}
	st := state{rev: gatehouse.Revision{Epoch: 1}}
	_, err = s.writer.exec(insertState, st.rev.Epoch, st.rev.N, st.tree.Size, []byte{}, st.late, s.stateMAC(st), s.fingerprint())
	return failed(err)
}

// replay reads the log once, front to back.
func (s *Store) replay(ctx context.Context, st state) error {
	size, root, err := s.vouched()
	if err != nil {
		return err
	}
	r, late := audit.NewReplayer(), int64(0)
	var l logRow
	err = s.writer.each(ctx, selectLog, nil, func(rows *sql.Rows) (bool, error) {
		if err := matches(r, size, root); err != nil {
			return false, err
		}
		if err := rows.Scan(l.into()...); err != nil {
			return false, err
		}
		if err := r.Add(audit.Leaf{Index: l.index, Body: l.body}); err != nil {
			return false, err
		}
		late = max(late, l.time)
		if !l.repeats() || l.late != late {
			return false, damagedLeaf(l.index, "has columns that differ from its body")
		}
		return true, nil
	})
	if err == nil {
		err = matches(r, size, root)
	}
	if err != nil {
		return s.firstBad(ctx, st, err)
	}
	heads, err := r.Finish(st.tree.Size, st.tree.Frontier)
	if err != nil {
		return s.firstBad(ctx, st, err)
	}
	if r.Size() < size {
		return damagedLeaf(r.Size(), "and what follows is missing: the newest checkpoint has more leaves")
	}
	s.heads.fill(heads)
	s.heads.tree = st.tree
	return nil
}

// logRow is what verification reads of a leaf. It is used again for each row:
// a start reads a million.
type logRow struct {
	index, time, late         int64
	event, team, user, action sql.RawBytes // good until the next row
	body, signature           sql.RawBytes
	targets                   []any
	member                    []byte
}

// into are the targets of a scan of selectLog.
func (l *logRow) into() []any {
	if l.targets == nil {
		l.targets = []any{&l.index, &l.event, &l.time, &l.late, &l.team, &l.user, &l.action, &l.body}
	}
	return l.targets
}

// repeats compares the columns with the body. Its members have a fixed order
// and escaped quotes, so looking for them is enough and spares decoding a
// million leaves. Actions are plain words.
func (l *logRow) repeats() bool {
	const stamp = `2006-01-02T15:04:05.000000Z"`
	at := append(append(append(l.member[:0], `","id":"`...), l.event...), `","time":"`...)
	l.member = time.UnixMicro(l.time).UTC().AppendFormat(at, stamp)
	return bytes.Contains(l.body, l.member) &&
		l.holds(`,"team":"`, l.team, `","kind":"`) &&
		l.holds(`,"userId":"`, l.user, `"},"description":"`) &&
		l.holds(`,"action":"`, l.action, `","operation":"`)
}

func (l *logRow) holds(before string, value []byte, after string) bool {
	l.member = append(append(append(l.member[:0], before...), value...), after...)
	return bytes.Contains(l.body, l.member)
}

// vouched asks the newest checkpoint what the log was.
func (s *Store) vouched() (size int64, root [32]byte, err error) {
	if s.opts.CheckpointVerify == nil {
		return 0, root, nil
	}
	var note []byte
	found, err := s.writer.one(selectCheckpoint, nil, &note)
	if err != nil || !found {
		return 0, root, failed(err)
	}
	if size, root, err = s.opts.CheckpointVerify(note); err != nil {
		return 0, root, gatehouse.Errorf(gatehouse.Internal, "the newest audit checkpoint does not verify").Because(err)
	}
	return size, root, nil
}

// matches compares the root when as many leaves were read as were vouched for.
func matches(r *audit.Replayer, size int64, root [32]byte) error {
	if size == 0 || r.Size() != size {
		return nil
	}
	got, err := r.Root()
	if err == nil && got != root {
		return gatehouse.Errorf(gatehouse.Internal, "the audit log is not the one its newest checkpoint was made of")
	}
	return err
}

// firstBad finds which leaf a failure is about. Signatures show which
// one was not made for its place and body; they are checked only now because it
// takes a hundred times as long as hashing.
func (s *Store) firstBad(ctx context.Context, st state, cause error) error {
	next, bad := int64(0), error(nil)
	var l logRow
	err := s.writer.each(ctx, selectSigned, nil, func(rows *sql.Rows) (bool, error) {
		if err := rows.Scan(append(l.into(), &l.signature)...); err != nil {
			return false, err
		}
		switch {
		case l.index != next:
			bad = damagedLeaf(next, "is missing")
		case !s.opts.Guard.VerifyLeaf(l.index, audit.LeafHash(l.body), l.signature):
			bad = damagedLeaf(next, "was altered")
		case !l.repeats():
			bad = damagedLeaf(next, "has columns that differ from its body")
		}
		next++
		return bad == nil, nil
	})
	switch {
	case err != nil:
		return failed(err)
	case bad != nil:
		return bad
	case next < st.tree.Size:
		return damagedLeaf(next, "and what follows is missing")
	case next > st.tree.Size:
		return damagedLeaf(st.tree.Size, "was added from outside")
	}
	return cause
}

func damagedLeaf(index int64, what string) *gatehouse.Error {
	return gatehouse.Errorf(gatehouse.Internal, "audit leaf %d %s", index, what).
		Because(fmt.Errorf("the audit log was changed from outside; gatehouse audit verify tells more"))
}

// fill takes over what the log says of the records whose rows it vouches for.
func (h *heads) fill(from audit.Heads) {
	h.m = make(map[headKey]gatehouse.Revision, len(from))
	for subject, rev := range from {
		if _, ok := kindBytes[subject.Kind]; ok {
			h.m[headOf(subject.Kind, subject.ID)] = rev
		}
	}
}
