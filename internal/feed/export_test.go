package feed

import (
	"os"
	"time"

	"gatehouse"
)

// NameBytes is how much the arena of names holds.
func NameBytes(r *Replica) int { return len(r.now.Load().names.blocks) * nameBlock }

// CompactKey is the record of a key in layout 2.
func CompactKey(k *gatehouse.Key) (Record, error) { return viewer{wire: 2}.key(k) }

// Keep is what a follower does with a batch that it applied.
func (a *Archive) Keep(s Signed, b *Batch, sent time.Time, r *Replica) { a.keep(s, b, sent, r) }

// Cut ends a file of the archive where its last good frame does.
func Cut(f *os.File, end int64) error { return cut(f, end) }

// ParseKey reads the key of a record.
func ParseKey(r *Record) (*gatehouse.Key, error) { return parseKey(r) }
