package feed

import (
	"encoding/binary"
	"math"
	"time"

	"gatehouse"
)

// The table finds a row by the digest of a secret. Rows and index live in
// chunks without a pointer in them: the garbage collector has a few thousand
// objects to look at instead of a million, and a change copies the few chunks
// that it touches and publishes the rest as they are. That is why there is no
// lock, no overlay and no merge.
const (
	rowChunk   = 256
	indexChunk = 1024
)

// row is one secret of one key. It holds no pointers; what is shared between
// keys is an index into the tables of the state.
type row struct {
	digest       gatehouse.Digest
	id           gatehouse.ID
	limits       gatehouse.Limits
	epoch, n     int64 // revision
	create       stamp
	modify       stamp
	expire       stamp
	secretExpire stamp
	name         span
	team         uint32 // in ids, like the next three
	user         uint32
	owner        uint32
	modifiedBy   uint32
	acl          uint32
	tags         uint32
	ranges       uint32
	next         uint32 // the row of the key's other secret, plus one; 0: none
	last4        [4]byte
	flags        uint8
}

// The flags of a row.
const (
	flagDisabled = 1 << iota
	flagBlocked
	flagStrict
	flagReserve
	flagForeign // of the secret, not the key: it was minted elsewhere
)

// stamp is a time in nanoseconds since 1970; zero is no time.
type stamp int64

func stampOf(t time.Time) stamp {
	switch {
	case t.IsZero():
		return 0
	case t.Unix() > math.MaxInt64/int64(time.Second)-1:
		return math.MaxInt64 // later than nanoseconds can say: the year 2262
	}
	return stamp(max(t.UnixNano(), 1))
}

func (s stamp) time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(s)).UTC()
}

func (s stamp) passed(now time.Time) bool { return s != 0 && now.UnixNano() >= int64(s) }

// table is immutable once published. index is open addressing with linear
// probing: digests are SHA-256, so their own first bytes are the hash.
type table struct {
	index []*[indexChunk]uint32 // 0 empty, 1 deleted, else the row plus 2
	rows  []*[rowChunk]row
}

const (
	slotEmpty   = 0
	slotDeleted = 1
	slotFirst   = 2
)

func (t *table) slots() uint64 { return uint64(len(t.index)) * indexChunk }

func (t *table) at(i uint64) uint32 { return t.index[i/indexChunk][i%indexChunk] }

func (t *table) row(i uint32) *row { return &t.rows[i/rowChunk][i%rowChunk] }

// find returns the row of d, nil when there is none, and where the index says so.
func (t *table) find(d *gatehouse.Digest) (*row, uint64) {
	mask := t.slots() - 1 // a power of two, never full
	for i := binary.LittleEndian.Uint64(d[:]) & mask; ; i = (i + 1) & mask {
		switch s := t.at(i); s {
		case slotEmpty:
			return nil, 0
		case slotDeleted:
		default:
			// Not constant time, and it need not be: what is compared is a hash of what
			// the client sent, so the time says nothing about a secret.
			if r := t.row(s - slotFirst); r.digest == *d {
				return r, i
			}
		}
	}
}

// edit is a table being written. It shares chunks with the published one and
// copies each before its first change.
type edit struct {
	table
	ownIndex map[int]bool
	ownRows  map[int]bool
	all      bool // nothing is shared: a snapshot being built
}

func newTable() edit {
	return edit{table: table{index: []*[indexChunk]uint32{new([indexChunk]uint32)}}, all: true}
}

// fork starts the next edit from a published table.
func fork(t table) edit {
	return edit{
		table:    table{append([]*[indexChunk]uint32(nil), t.index...), append([]*[rowChunk]row(nil), t.rows...)},
		ownIndex: map[int]bool{}, ownRows: map[int]bool{},
	}
}

func (e *edit) set(i uint64, v uint32) {
	c := int(i / indexChunk)
	if !e.all && !e.ownIndex[c] {
		dup := *e.index[c]
		e.index[c], e.ownIndex[c] = &dup, true
	}
	e.index[c][i%indexChunk] = v
}

// writable is a row that may be changed.
func (e *edit) writable(i uint32) *row {
	c := int(i / rowChunk)
	if !e.all && !e.ownRows[c] {
		dup := *e.rows[c]
		e.rows[c], e.ownRows[c] = &dup, true
	}
	return &e.rows[c][i%rowChunk]
}

// grow adds a chunk of rows.
func (e *edit) grow() {
	e.rows = append(e.rows, new([rowChunk]row))
	if !e.all {
		e.ownRows[len(e.rows)-1] = true
	}
}

// insert points the index at row i, whose digest it does not hold yet.
func (e *edit) insert(d *gatehouse.Digest, i uint32) {
	mask := e.slots() - 1
	at := binary.LittleEndian.Uint64(d[:]) & mask
	for e.at(at) != slotEmpty {
		at = (at + 1) & mask
	}
	e.set(at, i+slotFirst)
}

// resize makes the index anew with room for twice the live rows, without the
// marks of deleted ones.
func (e *edit) resize(live int) {
	size := indexChunk
	for size < 2*live {
		size *= 2
	}
	old := e.table.index
	e.index = make([]*[indexChunk]uint32, size/indexChunk)
	e.ownIndex = map[int]bool{}
	for i := range e.index {
		e.index[i] = new([indexChunk]uint32)
		e.ownIndex[i] = true
	}
	for _, chunk := range old {
		for _, s := range chunk {
			if s >= slotFirst {
				e.insert(&e.row(s-slotFirst).digest, s-slotFirst)
			}
		}
	}
}
