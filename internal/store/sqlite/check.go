package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	"gatehouse"
)

// checkAll has the engine check the structure of the whole file.
func checkAll(ctx context.Context, pool *sql.DB) error { return quickCheck(ctx, pool, "1") }

func quickCheck(ctx context.Context, pool *sql.DB, what string) error {
	var verdict string
	if err := pool.QueryRowContext(ctx, "PRAGMA quick_check("+what+")").Scan(&verdict); err != nil {
		return cannot("check it", err)
	}
	if verdict != "ok" {
		return cannot("use it: quick_check found damage", errors.New(verdict))
	}
	return nil
}

// usageTables hold what was consumed: nearly all of a file's pages, and nothing
// that grants anything.
const usageTables = `'usage_rows', 'usage_runs', 'usage_names', 'objects', 'postings'`

// checkAuthority checks every table but those of usage.
func checkAuthority(ctx context.Context, pool *sql.DB) error {
	rows, err := pool.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name NOT IN (`+usageTables+`)`)
	if err != nil {
		return cannot("check it", err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return cannot("check it", errors.Join(err, rows.Close()))
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return cannot("check it", err)
	}
	for _, name := range names {
		if err := quickCheck(ctx, pool, "'"+strings.ReplaceAll(name, "'", "''")+"'"); err != nil {
			return err
		}
	}
	return nil
}

// background is a check that goes on while the file is in use.
type background struct {
	cancel context.CancelFunc
	result chan error
}

// checkLater checks the whole file, slowly found damage included in the log.
func (db *DB) checkLater(pool *sql.DB, opts Options) {
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	db.check = background{cancel, result}
	go func() {
		err := checkAll(ctx, pool)
		if err != nil && ctx.Err() == nil {
			if opts.Logger != nil {
				opts.Logger.Error("the database file is damaged", "error", err)
			}
			if opts.Damaged != nil {
				opts.Damaged(gatehouse.KindInstallation, "", "the file's structure is damaged")
			}
		}
		if ctx.Err() != nil {
			err = nil
		}
		result <- err
	}()
}

// stop ends the check. It is false when damage was found: then the file must
// not be marked, so that the next opening checks it whole and refuses it.
func (b *background) stop() (sound bool) {
	if b.cancel == nil {
		return true
	}
	b.cancel()
	b.cancel = nil
	return <-b.result == nil
}

// stamp tells one state of the file from another.
func stamp(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("closed %d %d\n", info.Size(), info.ModTime().UnixNano()), nil
}

// markClosed notes in the lock file that the file was closed in order and how
// it was left, log included: a log beside it would not be in the stamp.
func (db *DB) markClosed() error {
	if _, err := os.Stat(db.path + "-wal"); err == nil || db.lock == nil {
		return nil
	}
	s, err := stamp(db.path)
	if err != nil {
		return nil // removed under us: nothing to vouch for
	}
	if _, err := db.lock.WriteAt([]byte(s), 0); err != nil {
		return cannot("mark it as closed", err)
	}
	return nil
}

// closedInOrder reports whether the file is as its last process left it, and
// takes the note away: from now on a crash is a crash.
func (db *DB) closedInOrder() bool {
	note := make([]byte, 128)
	n, _ := db.lock.ReadAt(note, 0)
	if db.lock.Truncate(0) != nil || db.lock.Sync() != nil {
		return false
	}
	if _, err := os.Stat(db.path + "-wal"); err == nil {
		return false
	}
	s, err := stamp(db.path)
	return err == nil && n > 0 && string(note[:n]) == s
}
