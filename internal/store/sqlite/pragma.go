package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"gatehouse"
)

// oldest is the first release without the WAL-reset corruption that all
// earlier ones with a write-ahead log have.
var oldest = [3]int{3, 51, 3}

// pragma is a setting and what reading it back must say.
type pragma struct{ name, set, want string }

// pragmas are set on every connection, busy_timeout first so that the others
// wait for a lock instead of failing.
func pragmas(readonly bool) []pragma {
	out := []pragma{
		{"busy_timeout", "5000", "5000"},
		{"journal_mode", "wal", "wal"},
		// FULL syncs the log at every commit; NORMAL may lose acknowledged
		// commits when the power fails.
		{"synchronous", "full", "2"},
		{"foreign_keys", "on", "1"},
		{"mmap_size", "0", "0"}, // an I/O error must be an error, not a signal
		{"trusted_schema", "off", "0"},
		{"cell_size_check", "on", "1"},
		{"temp_store", "memory", "2"},
	}
	// What a connection caches is beside Go's heap and stays. The writer touches
	// the same index pages again and again; a reader's pages are as near in the
	// system's cache.
	if readonly {
		return append(out, pragma{"cache_size", "-1024", "-1024"}, pragma{"query_only", "on", "1"})
	}
	return append(out, pragma{"cache_size", "-4096", "-4096"}, pragma{"wal_autocheckpoint", inlinePages, inlinePages})
}

// assert reads every setting back: a typing error in a connection string is
// otherwise silent.
func assert(ctx context.Context, pool *sql.DB, readonly bool) error {
	var version string
	if err := pool.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return cannot("open it", err)
	}
	if !recent(version) {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "SQLite %s is too old: want %d.%d.%d", version, oldest[0], oldest[1], oldest[2])
	}
	for _, p := range pragmas(readonly) {
		var got string
		err := pool.QueryRowContext(ctx, "PRAGMA "+p.name).Scan(&got)
		// mmap_size has no row where the engine was built without mapping.
		if p.name == "mmap_size" && err == sql.ErrNoRows {
			continue
		}
		if err != nil || got != p.want {
			return cannot("use it", fmt.Errorf("PRAGMA %s is %q, want %q: %w", p.name, got, p.want, err))
		}
	}
	return nil
}

// recent compares a version with the oldest allowed.
func recent(version string) bool {
	parts := strings.Split(version, ".")
	for i, want := range oldest {
		if i >= len(parts) {
			return false
		}
		got, err := strconv.Atoi(parts[i])
		if err != nil || got != want {
			return err == nil && got > want
		}
	}
	return true
}
