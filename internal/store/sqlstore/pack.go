package sqlstore

import (
	"encoding/binary"

	"gatehouse"
)

// A pack is entries in order: a version byte, then blocks. A block is its
// number of entries and its columns, each behind its length, so that a reader
// skips those that it was not asked for. Numbers are varints; of keys, which
// rise, the differences. Units are sparse: how many, then number, count and cost
// of each. Packs outlive the program that wrote them: columns are appended,
// never moved. A pack may be in two pieces, so that whoever wants totals reads
// half as much: the columns up to units, and units, in blocks of the same
// entries. A piece lacks the other's columns: they are empty.

// The columns of a block.
const (
	colKey = iota
	colModel
	colEndpoint
	colCluster
	colSlot
	colRequests
	colItems
	colAmount
	colTokens
	colTicks
	colUnits
	numColumns
)

const (
	packVersion = 1
	// blockSize is how many entries a block has at most: few enough that a
	// block's numbers stay in the processor's cache.
	blockSize = 1024
)

// packer sums neighbours of one cell and packs.
type packer struct {
	out, units []byte
	split      bool
	last       entry
	held       int // entries in the columns
	open       bool
	columns    [numColumns][]byte
	key        int64 // of the entry before
}

// add takes the next entry; cells must not fall.
func (p *packer) add(e *entry) {
	if p.open && p.last.cell == e.cell {
		p.last.sum.add(&e.sum)
		return
	}
	p.put()
	p.last, p.open = *e, true
}

// put writes the entry in hand to the columns.
func (p *packer) put() {
	if !p.open {
		return
	}
	e := &p.last
	for i, v := range [colUnits]int64{e.key - p.key, e.model, e.endpoint, e.cluster, e.slot, e.requests, e.items, e.amount, e.tokens, e.ticks} {
		p.columns[i] = binary.AppendUvarint(p.columns[i], uint64(v))
	}
	p.columns[colUnits] = appendUnits(p.columns[colUnits], &e.units, &e.costs)
	p.key = e.key
	if p.held++; p.held == blockSize {
		p.block()
	}
}

func appendUnits(b []byte, units *gatehouse.Usage, costs *gatehouse.Costs) []byte {
	at := len(b)
	b = append(b, 0)
	for i := range units {
		if units[i] == 0 && costs[i] == 0 {
			continue
		}
		b[at]++
		b = append(b, byte(i))
		b = binary.AppendUvarint(b, uint64(units[i]))
		b = binary.AppendUvarint(b, uint64(costs[i]))
	}
	return b
}

// block ends a block.
func (p *packer) block() {
	if p.split {
		p.units = appendBlock(p.units, p.held, &[numColumns][]byte{colUnits: p.columns[colUnits]})
		p.columns[colUnits] = p.columns[colUnits][:0]
	}
	p.out = appendBlock(p.out, p.held, &p.columns)
	for i := range p.columns {
		p.columns[i] = p.columns[i][:0]
	}
	p.held, p.key = 0, 0
}

func appendBlock(b []byte, n int, columns *[numColumns][]byte) []byte {
	if len(b) == 0 {
		b = append(b, packVersion)
	}
	b = binary.AppendUvarint(b, uint64(n))
	for _, c := range columns {
		b = binary.AppendUvarint(b, uint64(len(c)))
		b = append(b, c...)
	}
	return b
}

// bytes ends the pack; units is its second piece, if it was to have one.
func (p *packer) bytes() (pack, units []byte) {
	p.put()
	p.open = false
	if p.held > 0 || len(p.out) == 0 {
		p.block()
	}
	return p.out, p.units
}

// block is one block, unread.
type block struct {
	n       int
	columns [numColumns][]byte
}

func badPack() error {
	return gatehouse.Errorf(gatehouse.Internal, "a rollup of usage is damaged")
}

// blocks reads a pack block by block.
type blocks struct {
	pack, units []byte
	started     bool
	block       block
}

// next is the next block, nil after the last.
func (b *blocks) next() (*block, error) {
	if !b.started {
		b.started = true
		for _, piece := range []*[]byte{&b.pack, &b.units} {
			if len(*piece) == 0 && piece == &b.units {
				continue
			}
			if len(*piece) == 0 || (*piece)[0] != packVersion {
				return nil, badPack()
			}
			*piece = (*piece)[1:]
		}
	}
	if len(b.pack) == 0 {
		return nil, nil
	}
	var err error
	if b.pack, err = b.block.next(b.pack); err != nil || len(b.units) == 0 {
		return &b.block, err
	}
	var u block
	if b.units, err = u.next(b.units); err != nil || u.n != b.block.n {
		return nil, badPack()
	}
	b.block.columns[colUnits] = u.columns[colUnits]
	return &b.block, nil
}

// next cuts a block off.
func (k *block) next(b []byte) (rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > blockSize {
		return nil, badPack()
	}
	k.n, b = int(n), b[size:]
	for i := range k.columns {
		length, size := binary.Uvarint(b)
		if size <= 0 || length > uint64(len(b)-size) {
			return nil, badPack()
		}
		k.columns[i], b = b[size:size+int(length)], b[size+int(length):]
	}
	return b, nil
}

// read decodes a column of numbers. Most fit a byte or two, which is what
// makes the short cut worth its lines.
func (k *block) read(column int, into *[blockSize]int64) error {
	b := k.columns[column]
	at := 0
	for i := range k.n {
		if at >= len(b) {
			return badPack()
		}
		if c := b[at]; c < 0x80 {
			into[i] = int64(c)
			at++
			continue
		}
		v, size := binary.Uvarint(b[at:])
		if size <= 0 {
			return badPack()
		}
		into[i] = int64(v)
		at += size
	}
	if column == colKey {
		for i := 1; i < k.n; i++ {
			into[i] += into[i-1]
		}
	}
	return nil
}

// readUnits decodes the column of units for each entry in turn.
func (k *block) readUnits(yield func(i int, unit byte, count, cost int64)) error {
	b := k.columns[colUnits]
	for i := range k.n {
		if len(b) == 0 {
			return badPack()
		}
		n := int(b[0])
		b = b[1:]
		for range n {
			if len(b) == 0 || b[0] >= byte(gatehouse.NumUnits) {
				return badPack()
			}
			unit := b[0]
			count, size := binary.Uvarint(b[1:])
			if size <= 0 {
				return badPack()
			}
			cost, more := binary.Uvarint(b[1+size:])
			if more <= 0 {
				return badPack()
			}
			yield(i, unit, int64(count), int64(cost))
			b = b[1+size+more:]
		}
	}
	return nil
}

// unpacker reads whole entries, a block at a time.
type unpacker struct {
	pack, units []byte // units nil: the pack is in one piece
	blocks      *blocks
	entries     []entry
	next        int
}

func (u *unpacker) done() bool { return u.next >= len(u.entries) }
func (u *unpacker) at() *entry { return &u.entries[u.next] }

// fill makes sure that an entry is at hand, unless there are no more.
func (u *unpacker) fill() error {
	if u.blocks == nil {
		u.blocks = &blocks{pack: u.pack, units: u.units}
	}
	for u.done() {
		k, err := u.blocks.next()
		if k == nil || err != nil {
			return err
		}
		u.next, u.entries = 0, slicesOf(u.entries, k.n)
		if err := k.entries(u.entries); err != nil {
			return err
		}
	}
	return nil
}

// slicesOf is n zeroed entries, in the memory of s when that is enough.
func slicesOf(s []entry, n int) []entry {
	if cap(s) < n {
		return make([]entry, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// entries decodes everything.
func (k *block) entries(out []entry) error {
	var numbers [blockSize]int64
	for column, f := range [colUnits]func(*entry) *int64{
		func(e *entry) *int64 { return &e.key }, func(e *entry) *int64 { return &e.model },
		func(e *entry) *int64 { return &e.endpoint }, func(e *entry) *int64 { return &e.cluster },
		func(e *entry) *int64 { return &e.slot }, func(e *entry) *int64 { return &e.requests },
		func(e *entry) *int64 { return &e.items }, func(e *entry) *int64 { return &e.amount },
		func(e *entry) *int64 { return &e.tokens }, func(e *entry) *int64 { return &e.ticks },
	} {
		if err := k.read(column, &numbers); err != nil {
			return err
		}
		for i := range out {
			*f(&out[i]) = numbers[i]
		}
	}
	return k.readUnits(func(i int, unit byte, count, cost int64) {
		out[i].units[unit], out[i].costs[unit] = count, gatehouse.Ticks(cost)
	})
}
