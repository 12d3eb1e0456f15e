package sqlite_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// blockLeaves is how many leaves one bitmap is about.
const blockLeaves = 1 << 11

var eventRows = flag.Int("events", 10*blockLeaves, "events of the benchmark of searches")

// chatter records n events of two teams: of every three words one is common,
// "even" and "odd" never meet, and "rare1" to "rare9" are far apart.
func (v *vault) chatter(from, n int, other gatehouse.ID) {
	v.Helper()
	for at := from; at < from+n; at += 500 {
		_, err := v.db.Update(context.Background(), gatehouse.Cause{}, func(tx store.Tx) error {
			for i := at; i < min(at+500, from+n); i++ {
				team, word := v.team, [2]string{"even", "odd"}[i%2]
				if i%5 == 0 {
					team = other
				}
				a := created(team, fmt.Sprint(i))
				a.Description = fmt.Sprintf("key %s k%d", word, i%7)
				if i%401 == 0 {
					a.Description += fmt.Sprint(" rare", i/401)
				}
				if err := tx.Record(a); err != nil {
					return err
				}
			}
			return nil
		})
		v.must(err)
	}
}

// filed waits until n blocks have their bitmaps.
func (v *vault) filed(n int) {
	v.Helper()
	for end := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
		var have int
		v.must(v.raw.QueryRow("SELECT COUNT(*) FROM audit_common WHERE word = ''").Scan(&have))
		if have >= n {
			return
		}
		if time.Now().After(end) {
			v.Fatalf("%d blocks are filed, want %d", have, n)
		}
	}
}

func (v *vault) events(f gatehouse.EventFilter) (out []gatehouse.Event) {
	v.Helper()
	v.must(v.db.View(context.Background(), func(w store.View) (err error) { out, err = w.Events(f); return err }))
	return out
}

// TestBitmapsFindWhatTheWordsFind searches a log of five blocks and a bit at
// random, before they are filed and after, and compares page by page.
func TestBitmapsFindWhatTheWordsFind(t *testing.T) {
	v := newVault(t)
	other := gatehouse.NewID()
	v.chatter(0, 5*blockLeaves+700, other)
	v.filed(5)
	middle := v.events(gatehouse.EventFilter{After: 2*blockLeaves + 99, Ascending: true, Limit: 1})[0].Time
	rng := rand.New(rand.NewPCG(1, 2))
	var searches []gatehouse.EventFilter
	for _, q := range []string{"key even", "even odd", "od k", "k rare", "rare3 key", "even k3", "e k6 key", "rare1 rare2", "odd nothing", "even"} {
		for range 4 {
			f := gatehouse.EventFilter{Query: q, After: -1, Limit: 1 + rng.IntN(40), Ascending: rng.IntN(2) == 0}
			f.TeamID = []gatehouse.ID{{}, v.team, other}[rng.IntN(3)]
			if rng.IntN(2) == 0 {
				f.After = rng.Int64N(5*blockLeaves + 700)
			}
			switch rng.IntN(4) {
			case 0:
				f.From = middle
			case 1:
				f.To = middle
			}
			searches = append(searches, f)
		}
	}
	filed := make([][]gatehouse.Event, len(searches))
	for i, f := range searches {
		filed[i] = v.events(f)
	}
	v.exec("DELETE FROM audit_common") // every piece is the index's again
	for i, f := range searches {
		if want := v.events(f); !reflect.DeepEqual(filed[i], want) {
			t.Errorf("%+v: %d events with bitmaps, %d without", f, len(filed[i]), len(want))
		}
	}
}

// BenchmarkSearch is a search for two common words that never meet, and for two
// that always do.
func BenchmarkSearch(b *testing.B) {
	t := &testing.T{}
	v := &vault{T: t, path: filepath.Join(b.TempDir(), "truth.db"), team: gatehouse.NewID()}
	if err := v.open(); err != nil {
		b.Fatal(err)
	}
	defer v.db.Close()
	v.chatter(0, *eventRows, gatehouse.NewID())
	raw, err := sql.Open("sqlite", v.path)
	if err != nil {
		b.Fatal(err)
	}
	defer raw.Close()
	v.raw = raw
	began := time.Now()
	v.filed(*eventRows / blockLeaves)
	b.Logf("the last blocks were filed %s after their last leaf", time.Since(began).Round(time.Millisecond))
	for _, q := range []string{"even odd", "key even", "rare1 even"} {
		b.Run(q, func(b *testing.B) {
			for b.Loop() {
				v.events(gatehouse.EventFilter{TeamID: v.team, Query: q, After: -1, Limit: 100})
			}
		})
	}
}
