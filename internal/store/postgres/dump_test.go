package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/storetest"
)

var (
	system = store.System(context.Background())
	march  = time.Date(2026, 3, 12, 12, 0, 0, 0, time.UTC)
)

func act(team gatehouse.ID, what string) gatehouse.Act {
	return gatehouse.Act{Action: what, Operation: "Test", TeamID: team, Description: "The record " + what + " was put"}
}

func newKey(team gatehouse.ID, name string) *gatehouse.Key {
	return &gatehouse.Key{
		ID: gatehouse.NewID(), TeamID: team, Name: name, ACL: gatehouse.ACL{gatehouse.ModelACL("*")}, CreateTime: march, ModifyTime: march,
		Secrets: []gatehouse.Secret{{Digest: gatehouse.DigestOf(name), Last4: "wxyz", CreateTime: march}},
	}
}

func put(t testing.TB, s store.Store, k *gatehouse.Key) *gatehouse.Key {
	t.Helper()
	cause := gatehouse.Cause{Actor: gatehouse.Actor{IP: "192.0.2.7"}}
	if _, err := s.Update(system, cause, func(tx store.Tx) error { return tx.PutKey(k, act(k.TeamID, k.Name)) }); err != nil {
		t.Fatal(err)
	}
	return k
}

func record(team gatehouse.ID, at time.Time) gatehouse.UsageRecord {
	u := gatehouse.UsageRecord{ID: gatehouse.NewTimeID(at), Start: at, Close: at, TeamID: team, KeyID: gatehouse.ID{1}, Model: "m", Endpoint: "chat", Cluster: "local"}
	u.Usage[gatehouse.PromptText], u.Costs[gatehouse.PromptText] = 7, 5
	return u
}

func ingest(t testing.TB, s store.Store, records ...gatehouse.UsageRecord) {
	t.Helper()
	if err := s.Ingest(system, func(i store.Ingest) error { _, err := i.InsertUsage(records); return err }); err != nil {
		t.Fatal(err)
	}
}

// inhabit gives a store something of every kind.
func inhabit(t testing.TB, s store.Store, team gatehouse.ID) *gatehouse.Key {
	k := put(t, s, newKey(team, "alive"))
	gone := put(t, s, newKey(team, "gone"))
	gone.DeleteTime, gone.Secrets = march, nil
	put(t, s, gone)
	_, err := s.Update(system, gatehouse.Cause{}, func(tx store.Tx) error {
		return errors.Join(
			tx.PutUpstream(&gatehouse.Upstream{ID: gatehouse.NewID(), Name: "u", BaseURL: "https://a.example/v1", Credential: "sk"}, act(gatehouse.ID{}, "u")),
			tx.PutModel(&gatehouse.Model{Name: "m"}, act(gatehouse.ID{}, "m")),
			tx.Remember("r", []byte("v"), march.AddDate(10, 0, 0)))
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 80 {
		ingest(t, s, record(team, march.Add(time.Duration(n)*time.Hour)))
	}
	err = s.Work(system, func(w store.Work) error {
		return errors.Join(w.SeenGateway(&gatehouse.Gateway{ID: gatehouse.NewID(), Cluster: "local"}), w.PutCheckpoint(1, []byte("n")),
			w.TouchKeys([]store.LastUse{{KeyID: k.ID, Last4: "wxyz", Time: march}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// spend gives a team something in every table of money and people.
func spend(t testing.TB, s store.Store, team gatehouse.ID) gatehouse.Budget {
	t.Helper()
	budget := gatehouse.Budget{ID: gatehouse.NewID(), Subject: gatehouse.BudgetTeam, Amount: 1000, Period: gatehouse.BudgetDay, Zone: "UTC"}
	cycle := gatehouse.CycleOf(march)
	_, err := s.Update(system, gatehouse.Cause{}, func(tx store.Tx) error {
		return errors.Join(
			tx.PutTeam(&gatehouse.Team{ID: team, Billing: gatehouse.BillingPrepaid, Budgets: []gatehouse.Budget{budget}, CreateTime: march}, act(team, "team")),
			tx.PutBillingAccount(&gatehouse.BillingAccount{ID: team, CreateTime: march}, act(team, "account")),
			tx.PutTopUp(&gatehouse.TopUp{ID: gatehouse.NewID(), TeamID: team, CreateTime: march}, act(team, "top-up")),
			tx.PutInvoice(&gatehouse.Invoice{ID: gatehouse.NewID(), TeamID: team, Cycle: gatehouse.Cycle{Year: 2026, Month: 1}, CreateTime: march}, act(team, "invoice")),
			tx.PutInvitation(&gatehouse.Invitation{ID: gatehouse.NewID(), TeamID: team, Digest: gatehouse.DigestOf("i"), CreateTime: march}, act(team, "invitation")),
			tx.PutAlertHook(&gatehouse.AlertHook{ID: gatehouse.NewID(), TeamID: team, URL: "https://a.example", Secret: "s", CreateTime: march}, act(team, "hook")),
			tx.Post(&gatehouse.Posting{TeamID: team, Kind: gatehouse.PostGrant, Cycle: cycle, Note: "n", Entries: []gatehouse.Entry{
				{Account: gatehouse.AccountGranted, Amount: 100}, {Account: gatehouse.AccountCredit, Amount: -100}}}))
	})
	if err != nil {
		t.Fatal(err)
	}
	gateway := gatehouse.NewID()
	err = s.Work(system, func(w store.Work) error {
		_, err := w.Draw(store.Draw{Fund: budget.Fund(team, "", march), Gateway: gateway, Incarnation: 1, Want: 50})
		_, sent := w.Alerted("f"+team.String(), 50)
		return errors.Join(err, sent, w.PutAlert(gatehouse.Alert{ID: gatehouse.NewID(), TeamID: team, Time: march}),
			w.PutSignIn(store.SignInState{User: team, Refresh: []byte("refresh"), Checked: march}))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Ingest(system, func(i store.Ingest) error {
		i.From(gateway, 1)
		_, err := i.InsertUsage([]gatehouse.UsageRecord{record(team, march.Add(100*time.Hour)), record(team, march)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return budget
}

// books is all that a store says of a team's money.
func books(t *testing.T, s store.Store, team gatehouse.ID, budget gatehouse.Budget) map[string]any {
	t.Helper()
	out := map[string]any{}
	err := s.View(system, func(v store.View) error {
		keep := func(name string, what any, err error) {
			if out[name] = what; err != nil || reflect.ValueOf(what).Len() == 0 {
				t.Errorf("%s: %v, %v", name, what, err)
			}
		}
		postings, err := v.Postings(team, store.Cursor{}, 1000)
		keep("postings", postings, err)
		balances, err := v.Balances(team)
		keep("balances", balances, err)
		charges, err := v.Charges(team, gatehouse.CycleOf(march))
		keep("charges", charges, err)
		spent, err := v.BudgetFunds(budget.ID, budget.Start(march).Unix())
		keep("spent", spent, err)
		holds, err := v.Holds(team, store.Cursor{}, 9)
		keep("holds", holds, err)
		alerts, err := v.Alerts(team, store.Cursor{}, 9)
		keep("alerts", alerts, err)
		signed, err := v.SignIns()
		keep("sign-ins", signed, err)
		invoices, err := v.Invoices(team)
		keep("invoices", invoices, err)
		hooks, err := v.AlertHooks(team)
		keep("hooks", hooks, err)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return out
}

func openFile(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(context.Background(), path, sqlite.Options{Guard: storetest.NewGuard("test")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestADatabaseMovesBetweenEngines there and back: what is read is the same,
// and the second move writes the same dump up to the order of rows.
func TestADatabaseMovesBetweenEngines(t *testing.T) {
	team := gatehouse.NewID()
	first := openFile(t, filepath.Join(t.TempDir(), "a.db"))
	k := inhabit(t, first, team)
	budget := spend(t, first, team)
	money := books(t, first, team, budget)
	kept := shelve(t, first, team)
	library := shelf(t, first, kept)
	var there, back bytes.Buffer
	sum, err := first.Dump(context.Background(), &there)
	if err != nil {
		t.Fatal(err)
	}
	_, dsn := database(t)
	if got, err := postgres.Load(context.Background(), dsn, bytes.NewReader(there.Bytes())); err != nil || !reflect.DeepEqual(got, sum) {
		t.Fatalf("%+v, %v; want %+v", got, err, sum)
	}
	if _, err := postgres.Load(context.Background(), dsn, bytes.NewReader(there.Bytes())); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Fatalf("loaded over what was there: %v", err)
	}
	second := open(t, dsn)
	again, err := second.Dump(context.Background(), &back)
	if err != nil || !reflect.DeepEqual(again, sum) {
		t.Fatalf("%+v, %v; want %+v", again, err, sum)
	}
	path := filepath.Join(t.TempDir(), "b.db")
	if got, err := sqlite.Load(context.Background(), path, bytes.NewReader(back.Bytes())); err != nil || !reflect.DeepEqual(got, sum) {
		t.Fatalf("%+v, %v; want %+v", got, err, sum)
	}
	third := openFile(t, path)
	for _, s := range []store.Store{first, second, third} {
		sees(t, s, k)
		if got := books(t, s, team, budget); !reflect.DeepEqual(got, money) {
			t.Errorf("%+v\nwant %+v", got, money)
		}
		if got := shelf(t, s, kept); !reflect.DeepEqual(got, library) {
			t.Errorf("%+v\nwant %+v", got, library)
		}
		// What counts by itself goes on behind what was loaded.
		ingest(t, s, func() gatehouse.UsageRecord {
			u := record(team, march.AddDate(0, 0, 9))
			u.Model = "new"
			return u
		}())
		put(t, s, newKey(team, "later"))
	}
}

// sees compares what a store says of an inhabited team.
func sees(t *testing.T, s store.Store, k *gatehouse.Key) {
	t.Helper()
	err := s.View(system, func(v store.View) error {
		if got, err := v.Key(k.ID); err != nil || !reflect.DeepEqual(got, k) {
			t.Errorf("%+v, %v", got, err)
		}
		if events, err := v.Events(gatehouse.EventFilter{TeamID: k.TeamID, Query: "gone", After: -1, Limit: 9}); err != nil || len(events) != 2 {
			t.Errorf("%d events: %v", len(events), err)
		}
		requests := int64(0)
		scan := store.UsageScan{Team: k.TeamID, Start: march, End: march.AddDate(0, 0, 5), Width: 24 * time.Hour}
		if err := v.UsageCells(scan, func(c store.UsageCell) error { requests += c.Requests; return nil }); err != nil || requests != 82 {
			t.Errorf("%d requests: %v", requests, err)
		}
		rows := 0
		if err := v.UsageRows(scan, func(*gatehouse.UsageRecord) error { rows++; return nil }); err != nil || rows != 82 {
			t.Errorf("%d rows: %v", rows, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestADamagedDumpLoadsNothing changes each byte of a dump in turn, and cuts it.
func TestADamagedDumpLoadsNothing(t *testing.T) {
	first := openFile(t, filepath.Join(t.TempDir(), "a.db"))
	put(t, first, newKey(gatehouse.NewID(), "k"))
	var whole bytes.Buffer
	if _, err := first.Dump(context.Background(), &whole); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "b.db")
	for n := 0; n < whole.Len(); n += 97 {
		bad := bytes.Clone(whole.Bytes())
		bad[n] ^= 0x40
		for _, b := range [][]byte{bad, bad[:n]} {
			if _, err := sqlite.Load(context.Background(), path, bytes.NewReader(b)); err == nil {
				t.Fatalf("loaded a dump damaged at %d", n)
			}
		}
	}
	if _, err := sqlite.Load(context.Background(), path, bytes.NewReader(whole.Bytes())); err != nil {
		t.Errorf("nothing of the damaged dumps should be there: %v", err)
	}
}
