package sqlstore

import (
	"encoding/binary"
	"slices"

	"gatehouse"
	"gatehouse/internal/store"
)

// state is the installation row: where the revision and the log stand. Its MAC
// keeps whoever can write SQL from moving both the log and its root.
type state struct {
	rev  gatehouse.Revision
	tree store.Tree
	late int64 // the latest event time so far, µs
}

const (
	stateColumns = ` epoch, n, tree_size, frontier, late_us, mac `

	selectState query = `SELECT` + stateColumns + `FROM installation WHERE id = 1`
	// lockState writes nothing new: it takes the row's lock and reads it.
	lockState   query = `UPDATE installation SET n = n WHERE id = 1 RETURNING` + stateColumns
	updateState query = `UPDATE installation SET epoch = ?, n = ?, tree_size = ?, frontier = ?, late_us = ?, mac = ? WHERE id = 1`
	insertState query = `INSERT INTO installation (id, epoch, n, tree_size, frontier, late_us, mac, floor_epoch, floor_n, fingerprint)
VALUES (1, ?, ?, ?, ?, ?, ?, 0, 0, ?) ON CONFLICT DO NOTHING`
	selectFingerprint query = `SELECT fingerprint FROM installation WHERE id = 1`
)

// equal compares what a group can move; the frontier follows from the size,
// since the log only grows.
func (a state) equal(b state) bool {
	return a.rev == b.rev && a.tree.Size == b.tree.Size && a.late == b.late
}

// readState reads and authenticates the row.
func (s *Store) readState(sess *session, q query) (state, error) {
	var st state
	var frontier, mac []byte
	found, err := sess.one(q, nil, &st.rev.Epoch, &st.rev.N, &st.tree.Size, &frontier, &st.late, &mac)
	if err != nil {
		return st, err
	}
	if !found {
		return st, gatehouse.Errorf(gatehouse.Internal, "the installation row is missing")
	}
	return s.prove(st, frontier, mac)
}

// prove completes and authenticates a row that was read.
func (s *Store) prove(st state, frontier, mac []byte) (state, error) {
	for len(frontier) >= 32 {
		st.tree.Frontier = append(st.tree.Frontier, [32]byte(frontier))
		frontier = frontier[32:]
	}
	if len(frontier) != 0 || !s.authentic(st, mac) {
		return st, gatehouse.Errorf(gatehouse.Internal, "the installation row does not verify: it was changed from outside")
	}
	return st, nil
}

// writeState writes the row under a new MAC.
func (s *Store) writeState(sess *session, st state) error {
	_, err := sess.exec(updateState, st.rev.Epoch, st.rev.N, st.tree.Size, flat(st.tree.Frontier), st.late, s.stateMAC(st))
	return err
}

// stateMAC is over all that the row says of revision and log.
func (s *Store) stateMAC(st state) []byte { return s.opts.Guard.MAC("installation", st.framed()) }

func (s *Store) authentic(st state, mac []byte) bool {
	ok, _ := s.opts.Guard.CheckMAC("installation", st.framed(), mac)
	return ok
}

func (st state) framed() []byte {
	return frame(nil, st.rev.Epoch, st.rev.N, st.tree.Size, flat(st.tree.Frontier), st.late)
}

// fingerprinted is what the fingerprint is a MAC over.
const fingerprinted = "fingerprint"

// fingerprint tells one set of secrets from another and gives away neither.
func (s *Store) fingerprint() []byte {
	return s.opts.Guard.MAC("installation", []byte(fingerprinted))
}

// flat is a frontier as bytes; its length gives the count back.
func flat(hashes [][32]byte) []byte {
	parts := make([][]byte, len(hashes))
	for i := range hashes {
		parts[i] = hashes[i][:]
	}
	return slices.Concat(parts...)
}

// frame joins values so that no two lists of values give the same bytes.
func frame(b []byte, values ...any) []byte {
	for _, v := range values {
		switch x := v.(type) {
		case int64:
			b = binary.BigEndian.AppendUint64(b, uint64(x))
		case string:
			b = binary.BigEndian.AppendUint32(b, uint32(len(x)))
			b = append(b, x...)
		case []byte:
			b = binary.BigEndian.AppendUint32(b, uint32(len(x)))
			b = append(b, x...)
		}
	}
	return b
}

// sameSecrets refuses to open a database under other secrets than made it.
func (s *Store) sameSecrets() error {
	var stored []byte
	if _, err := s.writer.one(selectFingerprint, nil, &stored); err != nil {
		return err
	}
	if ok, _ := s.opts.Guard.CheckMAC("installation", []byte(fingerprinted), stored); !ok {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "these secrets are not the ones this database was made with")
	}
	return nil
}
