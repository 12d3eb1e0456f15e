package postgres_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlstore"
	"gatehouse/internal/store/storetest"
)

// vault is a store whose tables somebody else edits, as the superuser.
type vault struct {
	*testing.T
	admin, request string
	db             *postgres.DB
	team           gatehouse.ID
	mu             sync.Mutex
	said           []string
}

func newVault(t *testing.T) *vault {
	v := &vault{T: t, team: gatehouse.NewID()}
	v.admin, v.request = database(t)
	if err := v.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.db.Close() })
	return v
}

func (v *vault) open() error {
	db, err := postgres.Open(context.Background(), v.request, postgres.Options{ListenDSN: "-", Options: sqlstore.Options{
		Guard: storetest.NewGuard("test"), Damaged: func(_ gatehouse.Kind, _, why string) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.said = append(v.said, why)
		}}})
	if err == nil {
		v.db = db
	}
	return err
}

func (v *vault) reopen() error {
	v.db.Close()
	return v.open()
}

func (v *vault) edit(statement string, args ...any) {
	v.Helper()
	sql(v.T, v.admin, statement, args...)
}

// refused checks that a key is nowhere to be had, and that this was reported.
func (v *vault) refused(k *gatehouse.Key) {
	v.Helper()
	v.said = nil
	err := v.db.View(system, func(w store.View) error {
		if got, err := w.Key(k.ID); gatehouse.CodeOf(err) != gatehouse.NotFound {
			v.Errorf("served %+v, %v", got, err)
		}
		keys, err := w.Keys(store.KeyList{Team: k.TeamID, Limit: 50})
		if err != nil {
			return err
		}
		for _, x := range keys {
			if x.ID == k.ID {
				v.Error("listed")
			}
		}
		return w.AllKeys(func(x *gatehouse.Key) error {
			if x.ID == k.ID {
				v.Error("in the snapshot")
			}
			return nil
		})
	})
	if err != nil || len(v.said) == 0 {
		v.Errorf("%d reports: %v", len(v.said), err)
	}
	_, err = v.db.Update(system, gatehouse.Cause{}, func(tx store.Tx) error { return tx.PutKey(k, act(v.team, k.Name)) })
	if gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		v.Errorf("a damaged key was written over: %v", err)
	}
}

// TestEditedRowIsNotServed changes every column of a key's row in turn.
func TestEditedRowIsNotServed(t *testing.T) {
	v := newVault(t)
	for _, edit := range []string{
		"team_id = 'x'", "user_id = 'x'", "name = 'x'", "created_us = created_us + 1", "expire_us = 5", "disabled = 1 - disabled",
		"deleted_us = 5", "epoch = epoch + 1", "n = n + 1", "n = n - 1", "version = version + 1", `mac = '\x00'`, `sealed = '\x00'`, `sealed = ''`,
		`record = convert_to(replace(convert_from(record, 'UTF8'), '*', '+'), 'UTF8')`, `record = ''`, `mac = ''`,
	} {
		k := put(t, v.db, newKey(v.team, "k"))
		v.edit("UPDATE api_keys SET "+edit+" WHERE id = $1", k.ID.String())
		v.refused(k)
		if t.Failed() {
			t.Fatal(edit)
		}
	}
	if err := v.reopen(); err != nil {
		t.Error(err)
	}
}

// TestRowRolledBackRevivedOrDeletedIsNotServed, by the node that wrote it and
// by one that learned of it from the log.
func TestRowRolledBackRevivedOrDeletedIsNotServed(t *testing.T) {
	v := newVault(t)
	other := open(t, v.request)
	steal := func(k *gatehouse.Key) {
		v.edit("DROP TABLE IF EXISTS stolen")
		v.edit("CREATE TABLE stolen AS SELECT * FROM api_keys WHERE id = '" + k.ID.String() + "'")
	}
	restore := func(k *gatehouse.Key) {
		v.edit("DELETE FROM api_keys WHERE id = $1", k.ID.String())
		v.edit("INSERT INTO api_keys SELECT * FROM stolen")
	}
	k := put(t, v.db, newKey(v.team, "rolled back"))
	steal(k)
	k.Disabled = true
	put(t, other, k)
	restore(k)
	v.refused(k)

	gone := put(t, v.db, newKey(v.team, "revived"))
	steal(gone)
	gone.DeleteTime, gone.Secrets = march, nil
	put(t, other, gone)
	restore(gone)
	v.refused(gone)

	lost := put(t, other, newKey(v.team, "deleted"))
	v.edit("DELETE FROM api_keys WHERE id = $1", lost.ID.String())
	v.refused(lost)
	if err := v.reopen(); err != nil {
		t.Fatal(err)
	}
	v.refused(k)
	v.refused(gone)
	v.refused(lost)
}

// TestAnEditedLeafStopsEveryNode: at open, and in a running node that catches up.
func TestAnEditedLeafStopsEveryNode(t *testing.T) {
	v := newVault(t)
	other := open(t, v.request)
	for range 4 {
		put(t, v.db, newKey(v.team, "k"))
	}
	v.edit("ALTER TABLE audit DISABLE TRIGGER audit_no_change")
	v.edit("UPDATE audit SET body = convert_to(replace(convert_from(body, 'UTF8'), 'The record', 'No record'), 'UTF8') WHERE idx = 2")
	err := other.View(system, func(w store.View) error { return w.AllKeys(func(*gatehouse.Key) error { return nil }) })
	if gatehouse.CodeOf(err) != gatehouse.Internal || !strings.Contains(err.Error(), "audit leaf 2 ") {
		t.Errorf("a running node read on: %v", err)
	}
	if err := v.reopen(); err == nil || !strings.Contains(err.Error(), "audit leaf 2 ") {
		t.Errorf("opened: %v", err)
	}
}

// TestADatabasePutBackUnderANodeIsNotWrittenTo: its log would fork.
func TestADatabasePutBackUnderANodeIsNotWrittenTo(t *testing.T) {
	v := newVault(t)
	put(t, v.db, newKey(v.team, "k"))
	v.edit("CREATE TABLE was AS SELECT * FROM installation")
	put(t, v.db, newKey(v.team, "k"))
	v.edit("ALTER TABLE audit DISABLE TRIGGER audit_no_change")
	v.edit("DELETE FROM audit WHERE idx = 1")
	v.edit("DELETE FROM installation")
	v.edit("INSERT INTO installation SELECT * FROM was")
	_, err := v.db.Update(system, gatehouse.Cause{}, func(tx store.Tx) error { return tx.PutKey(newKey(v.team, "k"), act(v.team, "k")) })
	if err == nil {
		t.Error("wrote on")
	}
}

func TestOtherSecretsAreRefused(t *testing.T) {
	_, request := database(t)
	open(t, request)
	_, err := postgres.Open(context.Background(), request, postgres.Options{Options: sqlstore.Options{Guard: storetest.NewGuard("other")}})
	if gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Errorf("opened under other secrets: %v", err)
	}
}
