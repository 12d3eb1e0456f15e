package postgres_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/internal/store/postgres"
	"gatehouse/internal/store/sqlstore"
	"gatehouse/internal/store/storetest"
)

// waits polls until some statement of a database waits for a lock.
func waits(t *testing.T, admin string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), admin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var n int
		err := conn.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
	t.Fatal("nobody waits")
}

// other is a transaction of another node, which finds out that it would have to
// wait before the server looks for a deadlock and chooses whom to end.
func other(t *testing.T, dsn string, statements ...string) pgx.Tx {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	tx, err := conn.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append([]string{"SET LOCAL lock_timeout = '500ms'", "SELECT set_config('gatehouse.scope', '*', true)"}, statements...) {
		if _, err := tx.Exec(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
	return tx
}

// TestNodesNumberNewNamesInOneOrder: a batch's new names wait for another
// node's in the order that it has them in, and so never both ways.
func TestNodesNumberNewNamesInOneOrder(t *testing.T) {
	admin, dsn := database(t)
	a := open(t, dsn)
	team := gatehouse.NewID()
	ingest(t, a, record(team, march)) // all names but the models'
	tx := other(t, dsn, "INSERT INTO usage_names (name) VALUES ('one')")
	done := make(chan error, 1)
	go func() {
		done <- a.Ingest(system, func(i store.Ingest) error {
			x, y := record(team, march), record(team, march)
			x.Model, y.Model = "two", "one"
			_, err := i.InsertUsage([]gatehouse.UsageRecord{x, y})
			return err
		})
	}()
	waits(t, admin)
	if _, err := tx.Exec(context.Background(), "INSERT INTO usage_names (name) VALUES ('two')"); err != nil {
		t.Errorf("the other node: %v", err)
	}
	tx.Commit(context.Background())
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestADeadlockOfUsageIsRunAgain: what the server broke is not its caller's to
// notice. Each of the two is sometimes the one that is chosen.
func TestADeadlockOfUsageIsRunAgain(t *testing.T) {
	_, dsn := database(t)
	nodes := []store.Store{open(t, dsn), open(t, dsn)}
	ingest(t, nodes[0], record(gatehouse.NewID(), march)) // all names but the models'
	names := []string{"one", "two"}
	met := []chan bool{make(chan bool, 1), make(chan bool, 1)}
	done := make(chan error, 2)
	for n, node := range nodes {
		go func() {
			runs := 0
			done <- node.Ingest(system, func(i store.Ingest) error {
				runs++
				for k := range names {
					u := record(gatehouse.NewID(), march)
					u.Model = names[(n+k)%2]
					if _, err := i.InsertUsage([]gatehouse.UsageRecord{u}); err != nil {
						return err
					}
					if k == 0 && runs == 1 {
						met[n] <- true
						<-met[1-n]
					}
				}
				return nil
			})
		}()
	}
	for range nodes {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// rotating takes whatever is stored for an earlier generation's.
type rotating struct{ *storetest.Guard }

func (g rotating) Current([]byte) bool { return false }

func (g rotating) CheckMAC(where string, data, mac []byte) (ok, current bool) {
	ok, _ = g.Guard.CheckMAC(where, data, mac)
	return ok, false
}

// TestResealingNeverCrossesAnUpdate: an Update locks rows in the order of its
// closure, and is not to fail because a rotation goes through them in another.
func TestResealingNeverCrossesAnUpdate(t *testing.T) {
	admin, dsn := database(t)
	a := open(t, dsn)
	team := gatehouse.NewID()
	ids := []string{put(t, a, newKey(team, "a")).ID.String(), put(t, a, newKey(team, "b")).ID.String()}
	slices.Sort(ids)
	b, err := postgres.Open(context.Background(), dsn, postgres.Options{Options: sqlstore.Options{Guard: rotating{storetest.NewGuard("test")}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	const touch = "UPDATE api_keys SET version = version WHERE id = '"
	tx := other(t, dsn, "SELECT n FROM installation WHERE id = 1 FOR UPDATE", touch+ids[1]+"'")
	done := make(chan error, 1)
	go func() { _, err := b.Reseal(context.Background()); done <- err }()
	waits(t, admin)
	if _, err := tx.Exec(context.Background(), touch+ids[0]+"'"); err != nil {
		t.Errorf("the update: %v", err)
	}
	tx.Commit(context.Background())
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRetentionDoesNotWaitForReaders: behind it would wait whoever reads or
// ingests usage, and this node's Updates.
func TestRetentionDoesNotWaitForReaders(t *testing.T) {
	_, dsn := database(t)
	db := open(t, dsn)
	ingest(t, db, record(gatehouse.NewID(), march))
	reader := other(t, dsn, "SELECT count(*) FROM usage_rows")
	drop := func() (more bool, err error) {
		err = db.Work(system, func(w store.Work) (err error) {
			more, err = w.DropUsage(march.AddDate(0, 1, 0))
			return err
		})
		return more, err
	}
	began := time.Now()
	if _, err := drop(); gatehouse.CodeOf(err) != gatehouse.Unavailable || !strings.Contains(gatehouse.Public(err), "cannot answer") {
		t.Errorf("dropped under a reader: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("kept everybody waiting for %s", took)
	}
	reader.Rollback(context.Background())
	if more, err := drop(); more || err != nil {
		t.Errorf("more %t, %v", more, err)
	}
}
