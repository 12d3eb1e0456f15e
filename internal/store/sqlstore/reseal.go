package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"

	"gatehouse"
	"gatehouse/internal/store"
)

// Resealed is what one pass of Reseal found.
type Resealed struct {
	Rows    int64 `json:"rows"`    // sealed or authenticated anew
	Refused int64 `json:"refused"` // left alone: they do not verify under any generation
}

// The bounds of a pass: how many rows a snapshot looks at, and how many one
// transaction writes, which must not keep a revocation waiting.
const (
	resealRead  = 500
	resealWrite = 16
)

// Reseal goes once through every record and writes what names an earlier
// generation of the secrets under the one in use: seals and MACs alone. No
// revision changes, so no feed tells of it. It works in many short transactions
// of the lowest door, and may be stopped at any time: the next pass skips what
// is done. Only a pass that wrote nothing shows that nothing is left, since
// another node may still have written with the earlier generation.
func (s *Store) Reseal(ctx context.Context) (out Resealed, err error) {
	ctx = store.System(ctx)
	for _, t := range resealTables() {
		for after, more := "", true; more; {
			var stale []string
			if stale, after, more, err = t.stale(s, ctx, after, &out); err != nil {
				return out, err
			}
			for len(stale) > 0 {
				n := min(len(stale), resealWrite)
				if err := s.resealSome(ctx, t, stale[:n], &out); err != nil {
					return out, err
				}
				stale = stale[n:]
			}
		}
	}
	if err := s.resealSignIns(ctx, &out); err != nil {
		return out, err
	}
	// The installation's row comes last: its fingerprint keeps out nodes that
	// lack the new generation, and must not before there is something that they
	// could not open.
	return out, s.resealInstallation(ctx, &out)
}

// resealer is Reseal for one table.
type resealer struct {
	table string
	kind  gatehouse.Kind
	again func(s *Store, r *row) (ok bool)
}

// resealTables are the tables of authority.
func resealTables() []resealer {
	return []resealer{
		resealerOf(&keyTable), resealerOf(&managementKeyTable), resealerOf(&teamTable), resealerOf(&userTable),
		resealerOf(&upstreamTable), resealerOf(&modelTable), resealerOf(&aliasTable), resealerOf(&priceTable),
		resealerOf(&clusterTable), resealerOf(&joinTokenTable), resealerOf(&membershipTable),
		resealerOf(&billingTable), resealerOf(&topUpTable), resealerOf(&invoiceTable), resealerOf(&invitationTable),
		resealerOf(&alertHookTable), resealerOf(&fileTable), resealerOf(&collectionTable), resealerOf(&documentTable),
	}
}

func resealerOf[T any](a *authority[T]) resealer {
	return resealer{a.table, a.kind, func(s *Store, r *row) bool {
		if len(r.sealed) > 0 && !s.opts.Guard.Current(r.sealed) {
			x := new(T)
			if a.place == nil || json.Unmarshal(r.record, x) != nil {
				return false
			}
			plain, err := s.opts.Guard.Open(a.place(x), r.sealed)
			if err != nil {
				return false
			}
			if r.sealed, err = s.opts.Guard.Seal(a.place(x), plain); err != nil {
				return false
			}
		}
		if r.sealed == nil {
			r.sealed = []byte{} // some drivers read an empty value as none
		}
		r.signature = r.mac(s, a.table)
		return true
	}}
}

// upToDate reports whether nothing of a row names an earlier generation. A row
// that does not verify at all is nobody's to seal: that would make it genuine.
func (r *row) upToDate(s *Store, table string) (yes, genuine bool) {
	ok, current := r.authentic(s, table)
	return current && (len(r.sealed) == 0 || s.opts.Guard.Current(r.sealed)), ok
}

// stale lists the next rows' ids that are not up to date.
func (t resealer) stale(s *Store, ctx context.Context, after string, out *Resealed) (ids []string, last string, more bool, err error) {
	last = after
	q := query(`SELECT` + rowColumns + `FROM ` + t.table + ` WHERE id > ? ORDER BY id LIMIT ?`)
	err = s.View(ctx, func(v store.View) error {
		seen := 0
		err := v.(*view).sess.each(ctx, q, []any{after, resealRead}, func(rows *sql.Rows) (bool, error) {
			var r row
			if err := rows.Scan(r.into()...); err != nil {
				return false, err
			}
			seen, last = seen+1, r.id
			switch done, genuine := r.upToDate(s, t.table); {
			case !genuine:
				s.damaged(t.kind, r.id, "its MAC does not verify")
				out.Refused++
			case !done:
				ids = append(ids, r.id)
			}
			return true, nil
		})
		more = seen == resealRead
		return err
	})
	return ids, last, more, failed(err)
}

// resealSome writes a few rows in one transaction, each as it is there now.
func (s *Store) resealSome(ctx context.Context, t resealer, ids []string, out *Resealed) error {
	read := query(`SELECT` + rowColumns + `FROM ` + t.table + ` WHERE id = ?`)
	write := query(`UPDATE ` + t.table + ` SET sealed = ?, mac = ? WHERE id = ? AND epoch = ? AND n = ? AND version = ? AND mac = ?`)
	var wrote, refused int64
	err := s.perform(ctx, func(w *session) error {
		wrote, refused = 0, 0
		// Updates write several rows under this lock, in orders of their own: one
		// that met ours half-way would be a deadlock, and its caller's to repeat.
		if _, err := s.readState(w, lockState); err != nil {
			return failed(err)
		}
		for _, id := range ids {
			var r row
			found, err := w.one(read, []any{id}, r.into()...)
			if err != nil {
				return failed(err)
			}
			done, genuine := r.upToDate(s, t.table)
			if !found || done || !genuine {
				continue
			}
			before := r.signature
			if !t.again(s, &r) {
				s.damaged(t.kind, id, "its secrets do not open")
				refused++
				continue
			}
			there, err := w.affects(write, r.sealed, r.signature, r.id, r.rev.Epoch, r.rev.N, r.version, before)
			if err != nil {
				return failed(err)
			}
			if there {
				wrote++
			}
		}
		return nil
	})
	if err == nil {
		out.Rows, out.Refused = out.Rows+wrote, out.Refused+refused
	}
	return err
}

const updateFingerprint query = `UPDATE installation SET fingerprint = ? WHERE id = 1`

// resealInstallation renews the MAC of the installation's row and the
// fingerprint that nodes are told apart by.
func (s *Store) resealInstallation(ctx context.Context, out *Resealed) error {
	renewed := false
	err := s.perform(ctx, func(w *session) error {
		renewed = false
		st, err := s.readState(w, lockState)
		if err != nil {
			return failed(err)
		}
		var mac, print []byte
		if _, err := w.one(`SELECT mac, fingerprint FROM installation WHERE id = 1`, nil, &mac, &print); err != nil {
			return failed(err)
		}
		_, a := s.opts.Guard.CheckMAC("installation", st.framed(), mac)
		_, b := s.opts.Guard.CheckMAC("installation", []byte(fingerprinted), print)
		if a && b {
			return nil
		}
		if err := s.writeState(w, st); err != nil {
			return failed(err)
		}
		_, err = w.exec(updateFingerprint, s.fingerprint())
		renewed = true
		return failed(err)
	})
	if err == nil && renewed {
		out.Rows++
	}
	return err
}
