package sqlstore

import (
	"context"
	"database/sql"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	selectSignIns query = `SELECT user_id, sealed, checked_us FROM sign_ins ORDER BY user_id`
	upsertSignIn  query = `INSERT INTO sign_ins (user_id, sealed, checked_us) VALUES (?, ?, ?)
ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, checked_us = excluded.checked_us`
	deleteSignIn query = `DELETE FROM sign_ins WHERE user_id = ?`
	resealSignIn query = `UPDATE sign_ins SET sealed = ? WHERE user_id = ? AND sealed = ?`
)

// signInPlace is what a refresh token is sealed to.
func signInPlace(user string) string { return "sign_ins/" + user + "/refresh" }

// SignIns implements [store.PeopleView]. A token that does not open is reported
// and its sign-in left out.
func (v *view) SignIns() (out []store.SignInState, err error) {
	err = v.sess.each(v.ctx, selectSignIns, nil, func(rows *sql.Rows) (bool, error) {
		var s store.SignInState
		var user string
		var sealed []byte
		var us int64
		if err := rows.Scan(&user, &sealed, &us); err != nil {
			return false, err
		}
		s.Checked = fromMicros(us)
		bad := s.User.UnmarshalText([]byte(user))
		if bad == nil {
			s.Refresh, bad = v.s.opts.Guard.Open(signInPlace(user), sealed)
		}
		if bad != nil {
			v.s.damaged(gatehouse.KindUser, user, "its sign-in does not open")
			return true, nil
		}
		out = append(out, s)
		return true, nil
	})
	return out, failed(err)
}

// PutSignIn implements [store.BillingWork].
func (w work) PutSignIn(s store.SignInState) error {
	sealed, err := w.s.opts.Guard.Seal(signInPlace(s.User.String()), s.Refresh)
	if err != nil {
		return err
	}
	_, err = w.sess.exec(upsertSignIn, s.User.String(), sealed, micros(s.Checked))
	return failed(err)
}

// DropSignIn implements [store.BillingWork].
func (w work) DropSignIn(user gatehouse.ID) error {
	_, err := w.sess.exec(deleteSignIn, user.String())
	return failed(err)
}

// resealSignIns is Reseal for refresh tokens, of which there is one a person.
func (s *Store) resealSignIns(ctx context.Context, out *Resealed) error {
	stale := map[string][]byte{}
	err := s.View(ctx, func(v store.View) error {
		return failed(v.(*view).sess.each(ctx, selectSignIns, nil, func(rows *sql.Rows) (bool, error) {
			var user string
			var sealed []byte
			err := rows.Scan(&user, &sealed, new(int64))
			if err == nil && !s.opts.Guard.Current(sealed) {
				stale[user] = sealed
			}
			return true, err
		}))
	})
	for user, sealed := range stale {
		if err != nil {
			return err
		}
		var token, again []byte
		if token, err = s.opts.Guard.Open(signInPlace(user), sealed); err != nil {
			s.damaged(gatehouse.KindUser, user, "its sign-in does not open")
			out.Refused, err = out.Refused+1, nil
			continue
		}
		if again, err = s.opts.Guard.Seal(signInPlace(user), token); err != nil {
			return err
		}
		if err = s.perform(ctx, func(w *session) error { _, err := w.exec(resealSignIn, again, user, sealed); return failed(err) }); err == nil {
			out.Rows++
		}
	}
	return err
}
