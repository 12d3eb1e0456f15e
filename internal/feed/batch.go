package feed

import (
	"bytes"
	"encoding/binary"
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
)

// Batch is one step along the changes: applied to a replica at From it leads to
// one at To.
//
// A snapshot comes in parts with the same Session and To and a zero From. Only
// the last has More false; nothing of it is served before that one is applied.
type Batch struct {
	From, To gatehouse.Revision
	Snapshot bool
	More     bool
	Session  uint64
	Part     uint32
	Nonce    uint64        // of the poll that this answers
	Time     time.Time     // control's clock, to the millisecond
	Lease    time.Duration // granted with this batch, from sending the poll; to the millisecond
	Records  []Record
	// Members are the gateways of the fleet, forgotten ones left out, sorted. They
	// travel in layout 2 only, and there with every batch: what a limit's owner is
	// chosen from must be under the same signature as the limit.
	Members []limit.Member
	// Verifiers are the public keys that batches may be signed by from now on; nil
	// leaves them as they are. Layout 2 only.
	Verifiers [][]byte
}

// Record is one object as gateways need it, at least as new as the batch's To.
// Exactly one of three is true: Deleted, a tombstone for ever; Body empty,
// withheld because control cannot vouch for the record or this gateway may not
// have it; else Body is the object's canonical JSON.
type Record struct {
	Kind     gatehouse.Kind
	ID       string
	Revision gatehouse.Revision
	Deleted  bool
	Body     []byte
}

// Signed is a batch as it travels.
type Signed struct {
	Payload   []byte
	Signature []byte
}

// The format of a payload: magic and version, then fixed fields and
// length-prefixed records, integers as unsigned varints. Version 2 ends with the
// members and the verifiers. It is deterministic, and final: a change of layout
// takes a new version byte.
const (
	magic = "GTHF"

	// maxMembers and maxVerifiers bound what a batch may say of the fleet.
	maxMembers   = 1 << 16
	maxVerifiers = 16
	verifierLen  = 32
	memberLen    = 16 + 1

	flagSnapshot = 1 << 0
	flagMore     = 1 << 1

	opPut      = 0
	opDelete   = 1
	opWithhold = 2

	// minRecord is the fewest bytes of a record: it bounds what a count can make
	// the decoder allocate.
	minRecord = 5
	// MaxPayload bounds a batch. A source stays far below it.
	MaxPayload = 64 << 20
)

// Encode writes the payload of b.
func (b *Batch) Encode() []byte {
	size := 64
	for i := range b.Records {
		size += 32 + len(b.Records[i].ID) + len(b.Records[i].Body)
	}
	out := append(make([]byte, 0, size), magic...)
	out = append(out, b.version(), b.flags())
	out = appendRevision(appendRevision(out, b.From), b.To)
	out = binary.AppendUvarint(out, b.Session)
	out = binary.AppendUvarint(out, uint64(b.Part))
	out = binary.BigEndian.AppendUint64(out, b.Nonce)
	out = binary.AppendUvarint(out, uint64(max(b.Time.UnixMilli(), 0)))
	out = binary.AppendUvarint(out, uint64(max(b.Lease.Milliseconds(), 0)))
	out = binary.AppendUvarint(out, uint64(len(b.Records)))
	for i := range b.Records {
		out = appendRecord(out, &b.Records[i])
	}
	if b.version() > 1 {
		out = b.appendFleet(out)
	}
	return out
}

// version is the oldest layout that can say what b says.
func (b *Batch) version() byte {
	if b.Members == nil && b.Verifiers == nil {
		return 1
	}
	return 2
}

func (b *Batch) appendFleet(out []byte) []byte {
	out = binary.AppendUvarint(out, uint64(len(b.Members)))
	for _, m := range b.Members {
		settled := byte(0)
		if m.Settled {
			settled = 1
		}
		out = append(append(out, m.ID[:]...), settled)
	}
	out = binary.AppendUvarint(out, uint64(len(b.Verifiers)))
	for _, k := range b.Verifiers {
		out = append(out, k...)
	}
	return out
}

func (b *Batch) flags() (f byte) {
	if b.Snapshot {
		f |= flagSnapshot
	}
	if b.More {
		f |= flagMore
	}
	return f
}

func appendRecord(out []byte, r *Record) []byte {
	op := byte(opPut)
	switch {
	case r.Deleted:
		op = opDelete
	case len(r.Body) == 0:
		op = opWithhold
	}
	out = append(out, op)
	out = appendBytes(out, string(r.Kind))
	out = appendBytes(out, r.ID)
	out = appendRevision(out, r.Revision)
	if op == opPut {
		out = appendBytes(out, string(r.Body))
	}
	return out
}

func appendRevision(out []byte, r gatehouse.Revision) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(out, uint64(r.Epoch)), uint64(r.N))
}

func appendBytes(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

// Decode inverts Encode. It refuses other versions, trailing bytes and anything
// that Encode does not write. Bodies are slices of payload.
func Decode(payload []byte) (Batch, error) {
	if len(payload) > MaxPayload {
		return Batch{}, gatehouse.Errorf(gatehouse.InvalidArgument, "feed: batch over %d bytes", MaxPayload)
	}
	r := reader{rest: payload}
	ours := string(r.take(len(magic))) == magic
	version := r.byte()
	if !ours || version < 1 || version > Wire {
		return Batch{}, gatehouse.Errorf(gatehouse.InvalidArgument, "feed: not a batch of a layout up to %d", Wire)
	}
	b := r.header()
	n := r.uvarint()
	if n > uint64(len(r.rest)/minRecord) {
		r.bad = true
	}
	if !r.bad && n > 0 {
		b.Records = make([]Record, 0, n)
		for range n {
			b.Records = append(b.Records, r.record())
		}
	}
	if version > 1 {
		r.fleet(&b)
	}
	if r.bad || len(r.rest) > 0 {
		return Batch{}, gatehouse.Errorf(gatehouse.InvalidArgument, "feed: malformed batch")
	}
	return b, nil
}

// reader consumes a payload. After the first error it is bad for good and
// yields zeros, so that callers check once.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) header() (b Batch) {
	f := r.byte()
	r.bad = r.bad || f&^(flagSnapshot|flagMore) != 0
	b.Snapshot, b.More = f&flagSnapshot != 0, f&flagMore != 0
	b.From, b.To = r.revision(), r.revision()
	b.Session = r.uvarint()
	part := r.uvarint()
	r.bad = r.bad || part > 1<<32-1
	b.Part = uint32(part)
	if n := r.take(8); n != nil {
		b.Nonce = binary.BigEndian.Uint64(n)
	}
	b.Time = time.UnixMilli(r.signed()).UTC()
	lease := r.signed()
	r.bad = r.bad || lease > int64(MaxStale/time.Millisecond)
	b.Lease = time.Duration(lease) * time.Millisecond
	return b
}

// fleet reads the end of layout 2. Members ascend, so that a set of them has one
// spelling.
func (r *reader) fleet(b *Batch) {
	n := r.uvarint()
	if n > maxMembers || n > uint64(len(r.rest)/memberLen) {
		r.bad = true
		return
	}
	b.Members = make([]limit.Member, n)
	for i := range b.Members {
		m := &b.Members[i]
		copy(m.ID[:], r.take(len(m.ID)))
		settled := r.byte()
		m.Settled = settled == 1
		r.bad = r.bad || settled > 1 || i > 0 && bytes.Compare(b.Members[i-1].ID[:], m.ID[:]) >= 0
	}
	if n = r.uvarint(); n > maxVerifiers {
		r.bad = true
		return
	}
	for range n {
		b.Verifiers = append(b.Verifiers, r.take(verifierLen))
	}
}

func (r *reader) record() (rec Record) {
	op := r.byte()
	rec.Kind = gatehouse.Kind(r.bytes())
	rec.ID = string(r.bytes())
	rec.Revision = r.revision()
	switch op {
	case opPut:
		rec.Body = r.bytes()
		r.bad = r.bad || len(rec.Body) == 0
	case opDelete:
		rec.Deleted = true
	case opWithhold:
	default:
		r.bad = true
	}
	return rec
}

func (r *reader) revision() gatehouse.Revision {
	return gatehouse.Revision{Epoch: r.signed(), N: r.signed()}
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	return r.take(int(n))
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// uvarint reads only the shortest spelling: two spellings of one batch would
// carry two signatures.
func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.bad || n <= 0 || n > 1 && r.rest[n-1] == 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) signed() int64 {
	v := r.uvarint()
	if v > 1<<63-1 {
		r.bad = true
		return 0
	}
	return int64(v)
}
