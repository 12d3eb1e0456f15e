package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"gatehouse"
)

// The scanner reads what Encode wrote without decoding it: the order of the
// members is fixed, so each is where it is expected or the leaf is not ours.
// Reading the whole log at start and verifying it go through here once per
// leaf.

// scanner walks over one body; ok turns false, for good, at the first surprise.
type scanner struct {
	rest []byte
	ok   bool
}

func (s *scanner) literal(want string) {
	if !s.ok || len(s.rest) < len(want) || string(s.rest[:len(want)]) != want {
		s.ok = false
		return
	}
	s.rest = s.rest[len(want):]
}

// number reads a canonical natural number: no sign, no leading zero, int64.
func (s *scanner) number() int64 {
	var n int64
	i := 0
	for ; s.ok && i < len(s.rest) && s.rest[i] >= '0' && s.rest[i] <= '9'; i++ {
		d := int64(s.rest[i] - '0')
		if n > (math.MaxInt64-d)/10 {
			s.ok = false
			return 0
		}
		n = n*10 + d
	}
	if i == 0 || i > 1 && s.rest[0] == '0' {
		s.ok = false
		return 0
	}
	s.rest = s.rest[i:]
	return n
}

// text reads a string and returns what is between its quotes, escapes and all.
func (s *scanner) text() []byte {
	if !s.ok || len(s.rest) == 0 || s.rest[0] != '"' {
		s.ok = false
		return nil
	}
	for i := 1; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '"':
			t := s.rest[1:i]
			s.rest = s.rest[i+1:]
			return t
		}
	}
	s.ok = false
	return nil
}

// scanIndex reads the index that a body says it has.
func scanIndex(body []byte) (int64, bool) {
	s := scanner{body, true}
	s.literal(`{"v":1,"index":`)
	n := s.number()
	s.literal(`,"revision":"`)
	return n, s.ok
}

// prefix is the part of a leaf that a loader needs.
type prefix struct {
	index    int64
	revision gatehouse.Revision
	kind     []byte
	subject  []byte // as written, escapes and all
	result   []byte
}

func scanPrefix(body []byte) (prefix, bool) {
	var p prefix
	s := scanner{body, true}
	s.literal(`{"v":1,"index":`)
	p.index = s.number()
	s.literal(`,"revision":"`)
	p.revision.Epoch = s.number()
	s.literal(`.`)
	p.revision.N = s.number()
	for _, name := range [...]string{`","id":`, `,"time":`, `,"action":`, `,"operation":`, `,"team":`} {
		s.literal(name)
		s.text()
	}
	s.literal(`,"kind":`)
	p.kind = s.text()
	s.literal(`,"subject":`)
	p.subject = s.text()
	s.literal(`,"result":`)
	p.result = s.text()
	return p, s.ok
}

// unquote resolves escapes; most texts have none.
func unquote(raw []byte) (string, bool) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw), true
	}
	quoted := append(append([]byte{'"'}, raw...), '"')
	out, err := jsontext.AppendUnquote(nil, quoted)
	return string(out), err == nil
}

// personalMember begins the last member of a body. It occurs once: inside a
// string its quotes are escaped, and no other member of that name is an object.
var personalMember = []byte(`,"personal":{`)

// commitments reads the member personal of a body.
func commitments(body []byte) (map[string]string, bool) {
	i := bytes.LastIndex(body, personalMember)
	if i < 0 || body[len(body)-1] != '}' {
		return nil, false
	}
	var out map[string]string
	err := json.Unmarshal(body[i+len(personalMember)-1:len(body)-1], &out)
	return out, err == nil
}

// ipFits is personalFits for what Encode writes today, one IP address, without
// allocating. known is false for anything else, which goes the long way.
func ipFits(body, personal []byte) (fits, known bool) {
	p := scanner{personal, true}
	p.literal(`{"ip":{"salt":`)
	saltText := p.text()
	p.literal(`,"value":`)
	value := p.text()
	p.literal(`}}`)
	const hexSum = 2 * sha256.Size
	tail := len(body) - len(`"ip":""}}`) - hexSum - len(personalMember)
	if !p.ok || len(p.rest) != 0 || len(saltText) != 2*saltLen || bytes.IndexByte(value, '\\') >= 0 || tail < 0 {
		return false, false
	}
	b := scanner{body[tail:], true}
	b.literal(string(personalMember))
	b.literal(`"ip":`)
	want := b.text()
	b.literal(`}}`)
	if !b.ok || len(b.rest) != 0 || len(want) != hexSum {
		return false, false
	}
	var salt [saltLen]byte
	if _, err := hex.Decode(salt[:], saltText); err != nil {
		return false, true
	}
	var room [128]byte
	// value as bytes: a conversion to string would allocate.
	msg := append(appendCommitted(room[:0], salt[:], ""), value...)
	sum := sha256.Sum256(msg)
	var text [hexSum]byte
	hex.Encode(text[:], sum[:])
	return bytes.Equal(want, text[:]), true
}
