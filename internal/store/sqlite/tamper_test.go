package sqlite_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/storetest"
)

// vault is a store whose file somebody else edits through a driver of their own.
type vault struct {
	*testing.T
	path string
	db   *sqlite.DB
	raw  *sql.DB
	team gatehouse.ID
	mu   sync.Mutex
	said []string // what was reported as damaged
	note func([]byte) (int64, [sha256.Size]byte, error)
}

func newVault(t *testing.T) *vault {
	v := &vault{T: t, path: filepath.Join(t.TempDir(), "truth.db"), team: gatehouse.NewID()}
	v.must(v.open())
	raw, err := sql.Open("sqlite", v.path)
	v.must(err)
	v.raw = raw
	t.Cleanup(func() {
		raw.Close()
		if v.db != nil {
			v.db.Close()
		}
	})
	return v
}

func (v *vault) open() (err error) {
	v.db, err = sqlite.Open(context.Background(), v.path, sqlite.Options{
		Guard: storetest.NewGuard("test"), CheckpointVerify: v.note,
		Damaged: func(kind gatehouse.Kind, id, why string) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.said = append(v.said, why)
		},
	})
	return err
}

func (v *vault) must(err error) {
	v.Helper()
	if err != nil {
		v.Fatal(err)
	}
}

func (v *vault) exec(q string, args ...any) {
	v.Helper()
	_, err := v.raw.Exec(q, args...)
	v.must(err)
}

func (v *vault) put(k *gatehouse.Key) *gatehouse.Key {
	v.Helper()
	_, err := v.db.Update(context.Background(), gatehouse.Cause{}, func(tx store.Tx) error { return tx.PutKey(k, created(v.team, k.Name)) })
	v.must(err)
	return k
}

// refused checks that a key is nowhere to be had, and that this was reported.
func (v *vault) refused(k *gatehouse.Key) {
	v.Helper()
	v.said = nil
	v.must(v.db.View(context.Background(), func(w store.View) error {
		if got, err := w.Key(k.ID); !errors.Is(err, gatehouse.NotFound) {
			v.Errorf("served %+v, %v", got, err)
		}
		keys, err := w.Keys(store.KeyList{Team: k.TeamID, Limit: 10})
		v.must(err)
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
	}))
	if len(v.said) == 0 {
		v.Error("nothing was reported")
	}
	_, err := v.db.Update(context.Background(), gatehouse.Cause{}, func(tx store.Tx) error { return tx.PutKey(k, created(v.team, k.Name)) })
	if !errors.Is(err, gatehouse.FailedPrecondition) {
		v.Errorf("a damaged key was written over: %v", err)
	}
}

func (v *vault) reopen() error {
	v.must(v.db.Close())
	return v.open()
}

// TestEditedKeyRowIsNotServed changes every column of a key's row in turn,
// while the store runs and again after it was opened anew.
func TestEditedKeyRowIsNotServed(t *testing.T) {
	v := newVault(t)
	for _, edit := range []string{
		"team_id = 'x'", "user_id = 'x'", "name = 'x'", "created_us = created_us + 1", "expire_us = 5", "disabled = 1 - disabled",
		"deleted_us = 5", "epoch = epoch + 1", "n = n + 1", "n = n - 1", "version = version + 1", "mac = zeroblob(32)", "sealed = zeroblob(40)", "sealed = x''",
		"record = replace(record, 'chat', '*')", "record = replace(CAST(record AS TEXT), 'chat', '*')", "record = x''", "mac = x''",
	} {
		t.Run(edit, func(t *testing.T) {
			v.T = t
			k := v.put(benchKey(v.team, 1))
			v.exec("UPDATE api_keys SET "+edit+" WHERE id = ?", k.ID.String())
			v.refused(k)
		})
	}
	v.T = t
	v.must(v.reopen())
}

func TestKeyRowRolledBackRevivedOrDeletedIsNotServed(t *testing.T) {
	v := newVault(t)
	k := v.put(benchKey(v.team, 1))
	v.exec("CREATE TABLE stolen AS SELECT * FROM api_keys WHERE id = ?", k.ID.String())
	k.Disabled = true
	v.put(k)
	restore := "INSERT OR REPLACE INTO api_keys SELECT * FROM stolen"
	v.exec(restore)
	v.refused(k)
	v.must(v.reopen())
	v.refused(k)

	k = v.put(benchKey(v.team, 2))
	v.exec("DELETE FROM stolen")
	v.exec("INSERT INTO stolen SELECT * FROM api_keys WHERE id = ?", k.ID.String())
	k.DeleteTime, k.Secrets = time.Now().UTC(), nil
	v.put(k)
	v.exec(restore)
	v.refused(k)

	k = v.put(benchKey(v.team, 3))
	v.exec("DELETE FROM api_keys WHERE id = ?", k.ID.String())
	v.refused(k)
}

func TestSecretsOfAnotherRowDoNotOpen(t *testing.T) {
	v := newVault(t)
	a, b := v.put(benchKey(v.team, 1)), v.put(benchKey(v.team, 2))
	v.exec("UPDATE api_keys SET sealed = (SELECT sealed FROM api_keys WHERE id = ?) WHERE id = ?", a.ID.String(), b.ID.String())
	v.refused(b)
	// A whole row under another id: its MAC names its own.
	c := v.put(benchKey(v.team, 3))
	v.exec("DELETE FROM api_keys WHERE id = ?", c.ID.String())
	v.exec("UPDATE api_keys SET id = ? WHERE id = ?", c.ID.String(), a.ID.String())
	v.refused(c)
}

func TestCredentialIsNotInTheFile(t *testing.T) {
	v := newVault(t)
	u := &gatehouse.Upstream{ID: gatehouse.NewID(), Name: "u", BaseURL: "https://a.example/v1", Credential: "sk-canary-credential"}
	k := benchKey(v.team, 1)
	_, err := v.db.Update(context.Background(), gatehouse.Cause{}, func(tx store.Tx) error {
		if err := tx.PutUpstream(u, created(v.team, "u")); err != nil {
			return err
		}
		return tx.PutKey(k, created(v.team, "k"))
	})
	v.must(err)
	digest, err := k.Secrets[0].Digest.MarshalText()
	v.must(err)
	for _, name := range []string{v.path, v.path + "-wal"} {
		b, err := os.ReadFile(name)
		v.must(err)
		for _, canary := range []string{u.Credential, string(digest), string(k.Secrets[0].Digest[:])} {
			if strings.Contains(string(b), canary) {
				t.Errorf("%s holds a secret", filepath.Base(name))
			}
		}
	}
}

// TestDamagedNameCanBePutAgain is the repair of a named record.
func TestDamagedNameCanBePutAgain(t *testing.T) {
	v := newVault(t)
	put := func() {
		_, err := v.db.Update(context.Background(), gatehouse.Cause{}, func(tx store.Tx) error {
			return tx.PutModel(&gatehouse.Model{Name: "m"}, created(v.team, "m"))
		})
		v.must(err)
	}
	model := func() (err error) {
		return v.db.View(context.Background(), func(w store.View) error { _, err := w.Model("m"); return err })
	}
	put()
	v.exec("UPDATE models SET record = replace(record, '\"m\"', '\"n\"')")
	if err := model(); !errors.Is(err, gatehouse.NotFound) {
		t.Fatal(err)
	}
	put()
	v.must(model())
}

// TestDamagedLogIsRefusedAtOpen edits the log in every way and expects the
// first bad index in the words.
func TestDamagedLogIsRefusedAtOpen(t *testing.T) {
	for edit, want := range map[string]string{
		"UPDATE audit SET body = replace(body, 'key-000003', 'key-000009') WHERE idx = 3": "audit leaf 3 ",
		"UPDATE audit SET action = 'x' WHERE idx = 2":                                     "audit leaf 2 ",
		"UPDATE audit SET team_id = '' WHERE idx = 2":                                     "audit leaf 2 ",
		"UPDATE audit SET time_us = time_us + 1 WHERE idx = 2":                            "audit leaf 2 ",
		"DELETE FROM audit WHERE idx = 4":                                                 "audit leaf 4 ",
		"DELETE FROM audit WHERE idx >= 6":                                                "audit leaf 6 ",
		"DELETE FROM audit":                                                               "audit leaf 0 ",
		"UPDATE audit SET idx = -1 WHERE idx = 5":                                         "audit leaf 0 ",
		"UPDATE audit SET idx = idx + 1 WHERE idx = 7":                                    "audit leaf 7 ",
		"UPDATE audit SET body = (SELECT body FROM audit WHERE idx = 1) WHERE idx = 2":    "audit leaf 2 ",
		"INSERT INTO audit SELECT 8, 'x', time_us, late_us, team_id, user_id, action, replace(body, '\"index\":7', '\"index\":8'), NULL, signature FROM audit WHERE idx = 7": "audit leaf 8 ",
		"UPDATE installation SET n = n - 1":                  "installation row",
		"UPDATE installation SET tree_size = 7":              "installation row",
		"UPDATE installation SET frontier = zeroblob(32)":    "installation row",
		"DELETE FROM installation":                           "installation row is missing",
		"UPDATE installation SET fingerprint = zeroblob(32)": "secrets",
	} {
		t.Run(edit[:min(len(edit), 60)], func(t *testing.T) {
			v := newVault(t)
			for i := range 8 {
				v.put(benchKey(v.team, int64(i)))
			}
			v.must(v.reopen())
			v.exec("DROP TRIGGER audit_no_update")
			v.exec("DROP TRIGGER audit_no_delete")
			v.must(v.db.Close())
			v.exec(edit)
			if err := v.open(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("opened with %v, want %q", err, want)
			}
		})
	}
}

func TestLogRowsAreAppendOnlyToSQL(t *testing.T) {
	v := newVault(t)
	v.must(func() error {
		_, err := v.db.Update(context.Background(), gatehouse.Cause{Actor: gatehouse.Actor{IP: "192.0.2.1"}}, func(tx store.Tx) error {
			return tx.Record(created(v.team, "x"))
		})
		return err
	}())
	for _, q := range []string{
		"DELETE FROM audit", "UPDATE audit SET body = x''", "UPDATE audit SET team_id = 'x', personal = NULL", "UPDATE audit SET personal = x'00'",
	} {
		if _, err := v.raw.Exec(q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
	v.exec("UPDATE audit SET personal = NULL") // erasure of what the leaf merely commits to
	v.must(v.reopen())
	v.must(v.db.View(context.Background(), func(w store.View) error {
		events, err := w.Events(gatehouse.EventFilter{After: -1, Limit: 1})
		if len(events) != 1 || events[0].Actor.IP != "" {
			t.Errorf("got %+v", events)
		}
		return err
	}))
}

// TestCheckpointIsHeldAgainstTheLog shows a checkpoint that vouches for another
// log, and one for a longer log.
func TestCheckpointIsHeldAgainstTheLog(t *testing.T) {
	v := newVault(t)
	for i := range 3 {
		v.put(benchKey(v.team, int64(i)))
	}
	var tree store.Tree
	v.must(v.db.View(context.Background(), func(w store.View) (err error) { tree, err = w.Tree(); return err }))
	v.must(v.db.Work(context.Background(), func(w store.Work) error { return w.PutCheckpoint(3, []byte("note")) }))
	root, err := audit.Root(tree.Frontier, tree.Size)
	v.must(err)
	v.put(benchKey(v.team, 4))
	v.note = func([]byte) (int64, [sha256.Size]byte, error) { return 3, root, nil }
	v.must(v.reopen())
	for _, bad := range []func([]byte) (int64, [sha256.Size]byte, error){
		func([]byte) (int64, [sha256.Size]byte, error) { return 2, root, nil },
		func([]byte) (int64, [sha256.Size]byte, error) { return 9, root, nil },
		func([]byte) (int64, [sha256.Size]byte, error) { return 0, root, fmt.Errorf("bad signature") },
	} {
		v.note = bad
		if err := v.reopen(); err == nil {
			t.Error("opened against its checkpoint")
			continue
		}
		v.note = nil
		v.must(v.open())
	}
}

func TestOneProcessOnly(t *testing.T) {
	v := newVault(t)
	if _, err := sqlite.Open(context.Background(), v.path, sqlite.Options{Guard: storetest.NewGuard("test")}); !errors.Is(err, gatehouse.FailedPrecondition) {
		t.Errorf("opened twice: %v", err)
	}
	v.must(v.reopen())
}

func TestOtherSecretsAreRefused(t *testing.T) {
	v := newVault(t)
	v.must(v.db.Close())
	if _, err := sqlite.Open(context.Background(), v.path, sqlite.Options{Guard: storetest.NewGuard("other")}); !errors.Is(err, gatehouse.FailedPrecondition) {
		t.Errorf("opened under other secrets: %v", err)
	}
	v.must(v.open())
}

// TestEditedMoneyIsNotServed: limits, payments and invoices are records of
// authority like keys.
func TestEditedMoneyIsNotServed(t *testing.T) {
	v := newVault(t)
	limit := gatehouse.USD
	account := &gatehouse.BillingAccount{ID: v.team, SoftLimit: &limit}
	topUp := &gatehouse.TopUp{ID: gatehouse.NewID(), TeamID: v.team, Amount: gatehouse.USD, Status: gatehouse.TopUpPending}
	invoice := &gatehouse.Invoice{ID: gatehouse.NewID(), TeamID: v.team, Cycle: gatehouse.Cycle{Year: 2026, Month: 1}, Total: 100}
	invited := &gatehouse.Invitation{ID: gatehouse.NewID(), TeamID: v.team, Role: gatehouse.RoleViewer, Digest: gatehouse.DigestOf("i")}
	hook := &gatehouse.AlertHook{ID: gatehouse.NewID(), TeamID: v.team, URL: "https://a.example/x", Secret: "canary-hook-secret"}
	_, err := v.db.Update(context.Background(), gatehouse.Cause{}, func(tx store.Tx) error {
		act := created(v.team, "money")
		return errors.Join(tx.PutBillingAccount(account, act), tx.PutTopUp(topUp, act), tx.PutInvoice(invoice, act), tx.PutInvitation(invited, act), tx.PutAlertHook(hook, act))
	})
	v.must(err)
	v.exec(`UPDATE billing_accounts SET record = replace(CAST(record AS TEXT), '"softLimit":1', '"softLimit":9')`)
	v.exec(`UPDATE top_ups SET record = replace(CAST(record AS TEXT), 'TO_CHARGE', 'SUCCEEDED'), name = 'SUCCEEDED'`)
	v.exec(`UPDATE invoices SET name = ''`)
	v.exec(`UPDATE invitations SET record = replace(CAST(record AS TEXT), 'viewer', 'owner')`)
	v.exec(`UPDATE alert_hooks SET record = replace(CAST(record AS TEXT), 'a.example', 'b.example')`)
	v.must(v.db.View(context.Background(), func(w store.View) error {
		_, e1 := w.BillingAccount(v.team)
		_, e2 := w.TopUp(topUp.ID)
		_, e3 := w.InvoiceOf(v.team, invoice.Cycle)
		_, e4 := w.Invitation(invited.ID)
		_, e5 := w.AlertHook(hook.ID)
		for n, err := range []error{e1, e2, e3, e4, e5} {
			if !errors.Is(err, gatehouse.NotFound) {
				v.Errorf("record %d was served: %v", n, err)
			}
		}
		return nil
	}))
}

// TestTheLedgerIsAppendOnly, whoever writes the SQL.
func TestTheLedgerIsAppendOnly(t *testing.T) {
	v := newVault(t)
	u := gatehouse.UsageRecord{ID: gatehouse.NewID(), Start: time.Now(), TeamID: v.team, Model: "m"}
	u.Usage[gatehouse.PromptText], u.Costs[gatehouse.PromptText] = 1, 5
	v.must(v.db.Ingest(context.Background(), func(i store.Ingest) error { _, err := i.InsertUsage([]gatehouse.UsageRecord{u}); return err }))
	for _, q := range []string{"DELETE FROM postings", "UPDATE postings SET note = 'x'"} {
		if res, err := v.raw.Exec(q); err == nil {
			n, _ := res.RowsAffected()
			t.Errorf("%s: %d rows", q, n)
		}
	}
}

// TestASignInsTokenIsSealed to its person.
func TestASignInsTokenIsSealed(t *testing.T) {
	v := newVault(t)
	a, b := gatehouse.NewID(), gatehouse.NewID()
	v.must(v.db.Work(context.Background(), func(w store.Work) error {
		return errors.Join(w.PutSignIn(store.SignInState{User: a, Refresh: []byte("canary-refresh")}), w.PutSignIn(store.SignInState{User: b, Refresh: []byte("other")}))
	}))
	for _, name := range []string{v.path, v.path + "-wal"} {
		file, err := os.ReadFile(name)
		v.must(err)
		if strings.Contains(string(file), "canary-refresh") {
			t.Errorf("%s holds a token", filepath.Base(name))
		}
	}
	v.exec("UPDATE sign_ins SET sealed = (SELECT sealed FROM sign_ins WHERE user_id = ?) WHERE user_id = ?", a.String(), b.String())
	v.must(v.db.View(context.Background(), func(w store.View) error {
		all, err := w.SignIns()
		if len(all) != 1 || all[0].User != a {
			t.Errorf("%+v", all)
		}
		return err
	}))
}
