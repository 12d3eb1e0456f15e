package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// listenAgain is how long a lost listener waits before it comes back. Nothing
// waits for it: whoever waits for a change also polls.
const listenAgain = time.Second

// listen starts to pass on what other nodes announce, in a session of its own.
func (db *DB) listen(dsn string) error {
	config, err := parse(dsn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	db.stop, db.stopped = cancel, make(chan struct{})
	go func() {
		defer close(db.stopped)
		for first := true; ctx.Err() == nil; first = false {
			db.hear(ctx, config, first)
			select {
			case <-ctx.Done():
			case <-time.After(listenAgain):
			}
		}
	}()
	return nil
}

// hear wakes whoever waits for changes until the connection is lost. When it
// begins again it wakes them for what was missed.
func (db *DB) hear(ctx context.Context, config *pgx.ConnConfig, first bool) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return
	}
	if !first {
		db.Wake()
	}
	for {
		heard, err := conn.WaitForNotification(ctx)
		if err != nil {
			return
		}
		// Whoever waits here was woken when the act was committed.
		if heard.Payload != db.node {
			db.Wake()
		}
	}
}
