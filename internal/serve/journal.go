package serve

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"gatehouse"
	wire "gatehouse/internal/fleet"
	"gatehouse/internal/meter"
	"gatehouse/internal/store"
)

// ShippedUsage is what happened to the usage of an orphaned journal. New and Known
// are told apart only where this process wrote to the database itself.
type ShippedUsage struct {
	meter.ShipReport
	New   int64 `json:"new,omitempty"`
	Known int64 `json:"known,omitempty"` // had arrived before
}

// ShipJournal brings in the usage of a gateway that is gone. With cfg.Control it
// goes to control, in the name of the gateway whose data directory cfg.Data is;
// else into the database of cfg.Data or cfg.Database.
func ShipJournal(ctx context.Context, cfg Config, log *slog.Logger, dir string, o meter.ShipDirOptions) (out ShippedUsage, err error) {
	if len(cfg.Control) > 0 {
		sink, closing, err := controlSink(cfg)
		if err != nil {
			return out, err
		}
		defer closing()
		out.ShipReport, err = meter.ShipDir(ctx, dir, sink, o)
		return out, err
	}
	h, err := openExisting(ctx, cfg, log)
	if err != nil {
		return out, err
	}
	defer h.close()
	ingester := meter.NewIngester(h.store)
	out.ShipReport, err = meter.ShipDir(ctx, dir, ingester, o)
	out.New, out.Known = ingester.Counts()
	return out, err
}

// controlSink is control as the gateway of a data directory reaches it.
func controlSink(cfg Config) (meter.Sink, func(), error) {
	who, err := wire.Load(cfg.Data)
	if err != nil {
		return nil, nil, err
	}
	client, _, err := cfg.reach(who)
	if err != nil {
		return nil, nil, err
	}
	return client, client.Close, nil
}

// openExisting is open for a command that must not found an installation.
func openExisting(ctx context.Context, cfg Config, log *slog.Logger) (*house, error) {
	if cfg.Database == "" {
		if _, err := os.Stat(filepath.Join(cfg.Data, databaseFile)); errors.Is(err, fs.ErrNotExist) {
			return nil, gatehouse.Errorf(gatehouse.NotFound, "%s holds no database", cfg.Data)
		}
	}
	return open(ctx, cfg, log)
}

// RecomputeUsage compares the rollups of whole UTC days with their rows, and
// with repair puts right what differs. Told hears of every day.
func RecomputeUsage(ctx context.Context, cfg Config, log *slog.Logger, from, to time.Time, repair bool, told func(store.UsageCheck)) error {
	h, err := openExisting(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer h.close()
	for d := from.UTC().Truncate(24 * time.Hour); d.Before(to); d = d.AddDate(0, 0, 1) {
		check, err := h.store.CheckUsage(ctx, d, repair)
		if err != nil {
			return err
		}
		told(check)
	}
	return nil
}

// retainEvery is how often usage rows beyond the retention are looked for.
const retainEvery = 10 * time.Minute

// dropOldUsage drops usage rows that are older than the retention, a little at a
// time: between two pieces whoever else writes goes first.
func (p *program) dropOldUsage(ctx context.Context) error {
	for more := true; more && ctx.Err() == nil; {
		err := p.store.Work(ctx, func(w store.Work) (err error) {
			more, err = w.DropUsage(p.now().Add(-p.cfg.Usage.Retention))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
