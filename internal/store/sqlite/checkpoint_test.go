package sqlite_test

import (
	"testing"
	"time"
)

// TestTheLogIsCopiedWhileOthersCommit: were it left to whoever commits, the log
// would wait for 64 MiB, and then make an act of authority wait.
func TestTheLogIsCopiedWhileOthersCommit(t *testing.T) {
	v := newVault(t)
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	// The writer's own turn is at 16,384 pages.
	for n := 0; ; n++ {
		v.ingest(v.usageBatch(at, n))
		var busy, pages, copied int
		v.must(v.raw.QueryRow("PRAGMA wal_checkpoint(NOOP)").Scan(&busy, &pages, &copied))
		if copied > 0 {
			return
		}
		if pages > 16_000 {
			t.Fatalf("the log has %d pages, and none were copied", pages)
		}
	}
}
