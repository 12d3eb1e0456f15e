package meter

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
	"time"

	"gatehouse"
)

// The file format, final.
//
// A segment is a file "<incarnation>-<sequence>.seg", both 16 hexadecimal
// digits, of frames from its first byte on. Frames sit at positions of one
// stream per incarnation: a segment's first frame is its header, which says at
// which offset of the stream the segment starts. All integers are little-endian.
//
//	0  uint32  length of the payload
//	4  uint8   type
//	5  uint32  CRC-32C over length, type, payload, incarnation (int64), offset (int64)
//	9  payload
//
// Covering incarnation and offset makes a stale block, a recycled file or a
// frame copied elsewhere as bad as a flipped bit. The file is preallocated;
// zeros after the last frame (type 0) end it. Reading stops at the first frame
// that does not check.
//
// Payloads are sequences of fields without tags. Fields are only ever appended:
// a reader takes those that are missing as zero and ignores those it does not
// know. Strings and byte counts are uvarint-prefixed, IDs are 16 bytes, times
// int64 Unix nanoseconds (0: none), durations and counts uvarints.
const (
	frameHeader = 9
	maxPayload  = 1 << 16 // longer cannot be written, so it is damage
)

// The frame types.
const (
	frameSegment  byte = iota + 1 // "GTHJ", version, gateway, incarnation, base offset
	frameOpen                     // see encodeOpen; again when an old segment is vacated
	frameClose                    // see encodeClose
	frameObject                   // see encodeObject
	frameProgress                 // id, tokens of output so far
	frameVoid                     // id: the open record never happened
)

const (
	magic   = "GTHJ"
	version = 1
	// maxText bounds every string that a client can choose; maxUsage bounds the
	// provider's usage object, which is dropped rather than cut.
	maxText  = 1 << 10
	maxUsage = 1 << 13
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frameSum is the part of a checksum that does not depend on where the frame
// will lie, so that it is computed outside the journal's lock. It uses the room
// behind the payload.
func frameSum(typ byte, payload []byte) uint32 {
	n := len(payload)
	b := append(binary.LittleEndian.AppendUint32(payload, uint32(n)), typ)
	return crc32.Update(crc32.Update(0, castagnoli, b[n:]), castagnoli, payload)
}

// appendPlace appends what a checksum covers of where a frame lies.
func appendPlace(b []byte, incarnation, offset int64) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(incarnation))
	return binary.LittleEndian.AppendUint64(b, uint64(offset))
}

// appendFrame appends a frame that will lie at offset. The place lies behind it
// for a moment, since a buffer of its own would be allocated for each.
func appendFrame(b []byte, typ byte, payload []byte, sum uint32, incarnation, offset int64) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, typ)
	b = appendPlace(b, incarnation, offset)
	sum = crc32.Update(sum, castagnoli, b[len(b)-16:])
	b = binary.LittleEndian.AppendUint32(b[:len(b)-16], sum)
	return append(b, payload...)
}

// placed is the whole checksum of a frame that was read: what lies behind it may
// not be written to.
func placed(typ byte, payload []byte, incarnation, offset int64) uint32 {
	b := append(binary.LittleEndian.AppendUint32(make([]byte, 0, 21), uint32(len(payload))), typ)
	b = appendPlace(b, incarnation, offset)
	sum := crc32.Update(crc32.Update(0, castagnoli, b[:5]), castagnoli, payload)
	return crc32.Update(sum, castagnoli, b[5:])
}

// frameState says what stands at a position.
type frameState int

const (
	frameGood  frameState = iota
	frameEnd              // zeros, or nothing
	frameShort            // more bytes are needed to tell
	frameBad              // damage
)

// parseFrame reads the frame at the beginning of b.
func parseFrame(b []byte, incarnation, offset int64) (typ byte, payload []byte, state frameState) {
	if len(b) < frameHeader {
		for _, c := range b {
			if c != 0 {
				return 0, nil, frameShort
			}
		}
		return 0, nil, frameEnd
	}
	n, typ, sum := binary.LittleEndian.Uint32(b), b[4], binary.LittleEndian.Uint32(b[5:])
	if n == 0 && typ == 0 && sum == 0 {
		return 0, nil, frameEnd
	}
	if n > maxPayload {
		return 0, nil, frameBad
	}
	if len(b) < frameHeader+int(n) {
		return 0, nil, frameShort
	}
	payload = b[frameHeader : frameHeader+int(n) : frameHeader+int(n)] // frameSum may use what lies behind
	if placed(typ, payload, incarnation, offset) != sum {
		return 0, nil, frameBad
	}
	return typ, payload, frameGood
}

// segmentHead is the size of a segment's first frame.
const segmentHead = frameHeader + len(magic) + 1 + 16 + 8 + 8

func encodeSegment(gateway gatehouse.ID, incarnation, base int64) []byte {
	b := append([]byte(magic), version)
	b = append(b, gateway[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(incarnation))
	return binary.LittleEndian.AppendUint64(b, uint64(base))
}

// decodeSegment reads a segment's first frame. It trusts the header's own
// incarnation and base to check the header's checksum.
func decodeSegment(b []byte) (gateway gatehouse.ID, incarnation, base int64, ok bool) {
	if len(b) < segmentHead || string(b[frameHeader:frameHeader+len(magic)]) != magic {
		return gateway, 0, 0, false
	}
	p := b[frameHeader+len(magic)+1:]
	copy(gateway[:], p)
	incarnation = int64(binary.LittleEndian.Uint64(p[16:]))
	base = int64(binary.LittleEndian.Uint64(p[24:]))
	typ, _, state := parseFrame(b, incarnation, base)
	return gateway, incarnation, base, state == frameGood && typ == frameSegment
}

func encodeOpen(b []byte, o *OpenRecord) []byte {
	b = append(b, o.ID[:]...)
	b = appendTime(b, o.Start)
	b = append(b, o.TeamID[:]...)
	b = append(b, o.KeyID[:]...)
	b = append(b, o.UserID[:]...)
	b = append(b, o.UpstreamID[:]...)
	b = appendCount(b, o.PromptEstimate)
	for _, s := range [...]string{o.EndUser, o.Model, o.Asked, o.Endpoint, o.Cluster, o.ClientIP, o.RequestID, o.Upstream} {
		b = appendText(b, s)
	}
	tags := min(len(o.Tags), gatehouse.MaxTags)
	b = appendCount(b, int64(tags))
	for k, v := range o.Tags {
		if tags--; tags < 0 {
			break
		}
		b = appendText(appendText(b, k), v)
	}
	return b
}

func decodeOpen(payload string) (o OpenRecord) {
	d := decoder{payload}
	d.id(&o.ID)
	o.Start = d.time()
	for _, id := range [...]*gatehouse.ID{&o.TeamID, &o.KeyID, &o.UserID, &o.UpstreamID} {
		d.id(id)
	}
	o.PromptEstimate = d.count()
	for _, s := range [...]*string{&o.EndUser, &o.Model, &o.Asked, &o.Endpoint, &o.Cluster, &o.ClientIP, &o.RequestID, &o.Upstream} {
		*s = d.text()
	}
	if n := min(d.count(), gatehouse.MaxTags); n > 0 {
		o.Tags = make(map[string]string, n)
		for range n {
			k := d.text()
			o.Tags[k] = d.text()
		}
	}
	return o
}

func encodeClose(b []byte, id gatehouse.ID, c *CloseRecord) []byte {
	b = append(b, id[:]...)
	b = appendTime(b, c.Close)
	b = appendCount(b, int64(c.FirstByte))
	b = appendCount(b, int64(c.Latency))
	b = appendCount(b, int64(c.Attempts))
	b = appendCount(b, int64(c.Status))
	var flags byte
	if c.Estimated {
		flags |= 1
	}
	b = append(b, flags)
	b = appendUsage(b, &c.Usage)
	for _, s := range [...]string{string(c.Outcome), c.Model, c.Upstream, c.ServiceTier} {
		b = appendText(b, s)
	}
	raw := c.UpstreamUsage
	if len(raw) > maxUsage {
		raw = ""
	}
	return append(appendCount(b, int64(len(raw))), raw...)
}

func decodeClose(payload string) (id gatehouse.ID, c CloseRecord) {
	d := decoder{payload}
	d.id(&id)
	c.Close = d.time()
	c.FirstByte, c.Latency = time.Duration(d.count()), time.Duration(d.count())
	c.Attempts, c.Status = int(d.count()), int(d.count())
	c.Estimated = d.byte()&1 != 0
	c.Usage = d.usage()
	c.Outcome = gatehouse.Outcome(d.text())
	c.Model, c.Upstream, c.ServiceTier, c.UpstreamUsage = d.text(), d.text(), d.text(), d.text()
	return id, c
}

func encodeObject(b []byte, o *Object) []byte {
	b = append(b, o.TeamID[:]...)
	b = append(b, o.UpstreamID[:]...)
	b = appendTime(b, o.CreateTime)
	return appendText(appendText(b, o.ID), o.Model)
}

func decodeObject(payload string) (o Object) {
	d := decoder{payload}
	d.id(&o.TeamID)
	d.id(&o.UpstreamID)
	o.CreateTime = d.time()
	o.ID, o.Model = d.text(), d.text()
	return o
}

func encodeProgress(b []byte, id gatehouse.ID, output int64) []byte {
	return appendCount(append(b, id[:]...), output)
}

func decodeProgress(payload string) (id gatehouse.ID, output int64) {
	d := decoder{payload}
	d.id(&id)
	return id, d.count()
}

// appendUsage writes a bitmap of the units that are not zero, then those.
func appendUsage(b []byte, u *gatehouse.Usage) []byte {
	var set uint64
	for i, n := range u {
		if n > 0 {
			set |= 1 << i
		}
	}
	b = binary.AppendUvarint(b, set)
	for _, n := range u {
		if n > 0 {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	return b
}

func appendTime(b []byte, t time.Time) []byte {
	var ns int64
	if !t.IsZero() {
		ns = t.UnixNano()
	}
	return binary.LittleEndian.AppendUint64(b, uint64(ns))
}

func appendCount(b []byte, n int64) []byte { return binary.AppendUvarint(b, uint64(max(n, 0))) }

func appendText(b []byte, s string) []byte {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return append(appendCount(b, int64(len(s))), s...)
}

// decoder reads fields from a payload. It works on a string so that all texts
// of a record share one allocation. Past the end everything is zero.
type decoder struct{ s string }

func (d *decoder) take(n int) string {
	if n > len(d.s) {
		d.s = ""
		return ""
	}
	head := d.s[:n]
	d.s = d.s[n:]
	return head
}

func (d *decoder) id(id *gatehouse.ID) { copy(id[:], d.take(len(id))) }

func (d *decoder) byte() byte {
	if s := d.take(1); s != "" {
		return s[0]
	}
	return 0
}

func (d *decoder) time() time.Time {
	s := d.take(8)
	var ns uint64
	for i := range len(s) {
		ns |= uint64(s[i]) << (8 * i)
	}
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(ns)).UTC()
}

func (d *decoder) uvarint() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		c := d.byte()
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	return 0
}

func (d *decoder) count() int64 {
	n := d.uvarint()
	if n > math.MaxInt64 {
		return 0
	}
	return int64(n)
}

func (d *decoder) text() string {
	n := d.count()
	if n > maxPayload {
		n = maxPayload
	}
	return d.take(int(n))
}

func (d *decoder) usage() (u gatehouse.Usage) {
	set := d.uvarint()
	for i := 0; set != 0; i, set = i+1, set>>1 {
		if set&1 == 0 {
			continue
		}
		if n := d.count(); i < len(u) {
			u[i] = n
		}
	}
	return u
}
