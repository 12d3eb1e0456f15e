package sqlite

import (
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"time"
)

// A checkpoint copies what commits wrote to the log into the file, and syncs
// the file: where the disk is busy that takes hundreds of milliseconds. By
// default it is done by whoever commits when the log has a thousand pages, so
// that under ingest an act of authority waited for it. Here another connection
// does it, while commits go on; the writer's own turn comes at inlinePages, when
// nearly everything was copied already, and lets the log start over.
const (
	checkpointEvery = 50 * time.Millisecond
	checkpointPages = 1000    // 4 MiB
	inlinePages     = "16384" // 64 MiB
)

// checkpointer is the goroutine that does it.
type checkpointer struct {
	quit chan struct{}
	once sync.Once
	done sync.WaitGroup
}

func startCheckpoints(pool *sql.DB, log *slog.Logger) *checkpointer {
	c := &checkpointer{quit: make(chan struct{})}
	c.done.Go(func() {
		tick := time.NewTicker(checkpointEvery)
		defer tick.Stop()
		for {
			select {
			case <-c.quit:
				return
			case <-tick.C:
			}
			if err := checkpoint(pool); err != nil && log != nil {
				log.Warn("the database's log was not checkpointed", "error", err)
			}
		}
	})
	return c
}

// checkpoint copies the log when it is worth a sync.
func checkpoint(pool *sql.DB) error {
	var busy, pages, copied int
	row := func(mode string) error {
		return pool.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &pages, &copied)
	}
	if err := row("NOOP"); err != nil || pages-copied < checkpointPages {
		return err
	}
	return row("PASSIVE")
}

// stop waits for a checkpoint that runs. It bears nil, and a second call.
func (c *checkpointer) stop() {
	if c == nil {
		return
	}
	c.once.Do(func() { close(c.quit) })
	c.done.Wait()
}
