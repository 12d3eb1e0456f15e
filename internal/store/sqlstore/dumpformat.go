package sqlstore

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"gatehouse"
)

// A dump is a line, frames, and a SHA-256 over all before it. A frame is its
// length and its payload: a letter, then for T the JSON of a table whose rows
// follow, for R a row's values in the table's order, for E the JSON of a
// Summary, which ends the dump. A value is a letter and, unless it is null, a
// varint or a length and bytes. Dumps outlive the program that wrote them:
// frames of a kind that is not known are refused, not passed over.

const (
	dumpMagic = "gatehouse dump 1\n"
	// frameMax bounds what a length read from a damaged dump may allocate.
	frameMax = 1 << 30

	frameTable = 'T'
	frameRow   = 'R'
	frameEnd   = 'E'

	valueNull  = '0'
	valueInt   = 'i'
	valueText  = 't'
	valueBytes = 'b'
)

// dumper writes a dump.
type dumper struct {
	out   *bufio.Writer
	raw   io.Writer
	hash  hash.Hash
	frame []byte
	begun bool
}

// write writes a frame.
func (d *dumper) write(payload []byte) error {
	if !d.begun {
		d.begun = true
		if _, err := d.out.WriteString(dumpMagic); err != nil {
			return err
		}
	}
	var length [binary.MaxVarintLen64]byte
	if _, err := d.out.Write(length[:binary.PutUvarint(length[:], uint64(len(payload)))]); err != nil {
		return err
	}
	_, err := d.out.Write(payload)
	return err
}

func (d *dumper) json(kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return d.write(append([]byte{kind}, b...))
}

func (d *dumper) table(t table) error { return d.json(frameTable, t) }

func (d *dumper) row(values []any) error {
	b := append(d.frame[:0], frameRow)
	for _, v := range values {
		switch x := v.(type) {
		case nil:
			b = append(b, valueNull)
		case int64:
			b = binary.AppendVarint(append(b, valueInt), x)
		case string:
			b = append(binary.AppendUvarint(append(b, valueText), uint64(len(x))), x...)
		case []byte:
			b = append(binary.AppendUvarint(append(b, valueBytes), uint64(len(x))), x...)
		default:
			return fmt.Errorf("a column of type %T is not dumped", v)
		}
	}
	d.frame = b
	return d.write(b)
}

// end writes the summary and the sum over everything.
func (d *dumper) end(sum Summary) error {
	if err := d.json(frameEnd, sum); err != nil {
		return err
	}
	if err := d.out.Flush(); err != nil {
		return err
	}
	_, err := d.raw.Write(d.hash.Sum(nil))
	return err
}

// undumper reads a dump.
type undumper struct {
	in   *bufio.Reader
	hash hash.Hash
	buf  []byte
}

func newUndumper(r io.Reader) (*undumper, error) {
	u := &undumper{in: bufio.NewReaderSize(r, 1<<16), hash: sha256.New()}
	magic := make([]byte, len(dumpMagic))
	if _, err := io.ReadFull(u.in, magic); err != nil || string(magic) != dumpMagic {
		return nil, badDump(err)
	}
	u.hash.Write(magic)
	return u, nil
}

// next reads a frame; the payload is good until the next one.
func (u *undumper) next() (kind byte, payload []byte, err error) {
	n, err := binary.ReadUvarint(u.in)
	if err != nil || n == 0 || n > frameMax {
		return 0, nil, badDump(err)
	}
	// The buffer grows with what is there, not with what a length claims.
	b := bytes.NewBuffer(u.buf[:0])
	if _, err := io.CopyN(b, u.in, int64(n)); err != nil {
		return 0, nil, badDump(err)
	}
	u.buf = b.Bytes()
	var length [binary.MaxVarintLen64]byte
	u.hash.Write(length[:binary.PutUvarint(length[:], n)])
	u.hash.Write(u.buf)
	return u.buf[0], u.buf[1:], nil
}

// checked compares the sum over everything with the one at the end.
func (u *undumper) checked() error {
	want := u.hash.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(u.in, got); err != nil || !bytes.Equal(got, want) {
		return badDump(err)
	}
	return nil
}

// values reads a row of n columns.
func values(b []byte, n int) ([]any, error) {
	out := make([]any, n)
	for i := range out {
		if len(b) == 0 {
			return nil, badDump(nil)
		}
		kind := b[0]
		var used int
		switch b = b[1:]; kind {
		case valueNull:
		case valueInt:
			var v int64
			if v, used = binary.Varint(b); used <= 0 {
				return nil, badDump(nil)
			}
			out[i] = v
		case valueText, valueBytes:
			length, size := binary.Uvarint(b)
			if size <= 0 || length > uint64(len(b)-size) {
				return nil, badDump(nil)
			}
			used = size + int(length)
			if out[i] = string(b[size:used]); kind == valueBytes {
				out[i] = append([]byte{}, b[size:used]...)
			}
		default:
			return nil, badDump(nil)
		}
		b = b[used:]
	}
	if len(b) > 0 {
		return nil, badDump(nil)
	}
	return out, nil
}

func badDump(cause error) error {
	return gatehouse.Errorf(gatehouse.InvalidArgument, "this is no dump of a Gatehouse database, or it is damaged or cut off").
		Because(errors.Join(errors.New("dump"), cause))
}
