package gatehouse

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// ID names a team, user, key, event or usage record: a UUID (RFC 9562). It is
// printed as 36 lower-case characters in every dialect.
type ID [16]byte

// NewID returns a random (version 4) ID.
func NewID() ID {
	var id ID
	rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// NewTimeID returns a version 7 ID: the millisecond of now, then random bits.
// Usage records carry these, so that their order on disk is roughly their
// order in time.
func NewTimeID(now time.Time) ID {
	id := NewID()
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(id[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:], uint32(ms))
	id[6] = id[6]&0x0f | 0x70
	return id
}

// prefixes may stand before an id in one dialect or another: they are accepted
// and dropped (contract.md, "Ids in every dialect are the same UUIDs").
var prefixes = []string{"key_", "evt_", "file_", "file-", "doc_", "collection_", "col_"}

// ParseID reads the 36-character form in either case, behind any of the
// prefixes that the documents' dialects put there.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) > 36 {
		for _, p := range prefixes {
			if rest, ok := strings.CutPrefix(s, p); ok {
				s = rest
				break
			}
		}
	}
	if len(s) == 36 {
		var text [36]byte
		copy(text[:], s)
		if id.set(&text) {
			return id, nil
		}
	}
	return ID{}, Errorf(InvalidArgument, "not an id: want a UUID, as lists show them")
}

// set reads the 36 characters, without garbage: a snapshot reads millions.
func (id *ID) set(s *[36]byte) bool {
	if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	at := 0
	for _, part := range [...][]byte{s[:8], s[9:13], s[14:18], s[19:23], s[24:]} {
		n, err := hex.Decode(id[at:], part)
		if err != nil {
			return false
		}
		at += n
	}
	return true
}

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// String is the canonical form; the zero ID is empty.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	var b [36]byte
	hex.Encode(b[:8], id[:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:], id[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// MarshalText writes the canonical form.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the canonical form; empty is the zero ID.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	var parsed ID
	if len(b) == 36 && parsed.set((*[36]byte)(b)) {
		*id = parsed
		return nil
	}
	parsed, err := ParseID(string(b))
	if err == nil {
		*id = parsed
	}
	return err
}
