package serve

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/meter"
	"gatehouse/internal/store"
)

// orphan is the journal of a gateway that died with requests of its own: closed
// ones, and one that was open.
func orphan(t *testing.T, closed int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), journalDir)
	j, err := meter.Open(dir, meter.Options{Gateway: gatehouse.NewID()})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	team, now := gatehouse.NewID(), time.Now()
	for n := range closed + 1 {
		e, err := j.Begin(meter.OpenRecord{ID: gatehouse.NewTimeID(now), Start: now, TeamID: team, KeyID: gatehouse.NewID(),
			Model: "m", Endpoint: "chat", Cluster: "c", PromptEstimate: 5})
		if err != nil {
			t.Fatal(err)
		}
		if n < closed {
			if err := e.Close(meter.CloseRecord{Outcome: gatehouse.Completed, Status: 200}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func installation(t *testing.T) Config {
	t.Helper()
	cfg := Defaults()
	cfg.Data = t.TempDir()
	h, err := open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestAnOrphanedJournalIsBroughtInOnceHoweverOftenItIsShipped(t *testing.T) {
	cfg, dir, log := installation(t), orphan(t, 20), slog.New(slog.DiscardHandler)
	for _, want := range []struct{ fresh, known int64 }{{21, 0}, {0, 21}} {
		got, err := ShipJournal(t.Context(), cfg, log, dir, meter.ShipDirOptions{})
		if err != nil || got.New != want.fresh || got.Known != want.known || got.Records != 21 || got.Interrupted != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	days, rows := 0, int64(0)
	err := RecomputeUsage(t.Context(), cfg, log, time.Now().AddDate(0, 0, -2), time.Now(), true, func(c store.UsageCheck) {
		days, rows = days+1, rows+c.Rows
		if len(c.Drifts) > 0 {
			t.Errorf("%+v", c)
		}
	})
	if err != nil || rows != 21 || days < 3 {
		t.Errorf("%d rows of %d days, %v", rows, days, err)
	}
}

// A wrong --data must not found an installation, nor make secrets beside it.
func TestShippingIntoNothingIsRefused(t *testing.T) {
	cfg := Defaults()
	cfg.Data = filepath.Join(t.TempDir(), "none")
	_, err := ShipJournal(context.Background(), cfg, slog.New(slog.DiscardHandler), orphan(t, 1), meter.ShipDirOptions{})
	if gatehouse.CodeOf(err) != gatehouse.NotFound {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(cfg.Data + "*"); len(left) != 0 {
		t.Errorf("made %v", left)
	}
}
