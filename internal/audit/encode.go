package audit

import (
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"gatehouse"
)

// timeFormat has a fixed width, so that equal moments are equal text.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// Encode writes an event as leaf data of version 1: compact JSON of one line,
// every member there, in a fixed order, details sorted by key. This format is
// final: leaves are kept for ever and their hashes are signed, so another
// member means another version, which Decode reads beside this one.
//
// Personal values go through commit and a fresh salt of 16 bytes each, and are
// returned as personal, nil when the event has none. Times keep microseconds.
// Text that is not UTF-8 has its bad bytes replaced.
func Encode(e gatehouse.Event, commit func(salt []byte, value string) []byte, salt func() []byte) (body, personal []byte) {
	b := make([]byte, 0, 768)
	b = strconv.AppendInt(append(b, `{"v":1,"index":`...), e.Index, 10)
	b = strconv.AppendInt(append(b, `,"revision":"`...), e.Revision.Epoch, 10)
	b = strconv.AppendInt(append(b, '.'), e.Revision.N, 10)
	b = appendMember(b, `","id":`, e.ID.String())
	b = append(b, `,"time":"`...)
	b = e.Time.UTC().Truncate(time.Microsecond).AppendFormat(b, timeFormat)
	b = appendMember(b, `","action":`, e.Action)
	b = appendMember(b, `,"operation":`, e.Operation)
	b = appendMember(b, `,"team":`, e.TeamID.String())
	b = appendMember(b, `,"kind":`, string(e.Kind))
	b = appendMember(b, `,"subject":`, e.Subject)
	b = appendMember(b, `,"result":`, string(e.Result))
	b = appendMember(b, `,"actor":{"kind":`, string(e.Actor.Kind))
	b = appendMember(b, `,"keyId":`, e.Actor.KeyID.String())
	b = appendMember(b, `,"userId":`, e.Actor.UserID.String())
	b = appendMember(b, `},"description":`, e.Description)
	b = appendDetails(append(b, `,"details":`...), e.Details)
	b = appendMember(b, `,"requestId":`, e.RequestID)
	b = appendMember(b, `,"reason":`, e.Reason)
	b = append(b, `,"personal":{`...)
	if e.Actor.IP != "" {
		s, value := salt(), validUTF8(e.Actor.IP)
		b = append(b, `"ip":"`...)
		b = append(hex.AppendEncode(b, commit(s, value)), '"')
		personal = append(personal, `{"ip":{"salt":"`...)
		personal = hex.AppendEncode(personal, s)
		personal = append(appendMember(personal, `","value":`, value), `}}`...)
	}
	return append(b, `}}`...), personal
}

func appendMember(b []byte, name, value string) []byte {
	return appendString(append(b, name...), value)
}

// appendDetails replaces bad bytes in the names first: two names that differ
// in those alone would be one name twice, and the leaf could not be read back.
func appendDetails(b []byte, details map[string]string) []byte {
	for name := range details {
		if !utf8.ValidString(name) {
			details = validNames(details)
			break
		}
	}
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(details)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(appendString(b, name), ':'), details[name])
	}
	return append(b, '}')
}

// validNames keeps of names that become equal the value of the greatest.
func validNames(details map[string]string) map[string]string {
	out := make(map[string]string, len(details))
	for _, name := range slices.Sorted(maps.Keys(details)) {
		out[validUTF8(name)] = details[name]
	}
	return out
}

// validUTF8 makes a value what it reads back as, since it is committed to.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// appendString quotes s. What could end or disguise a line is escaped: the
// controls of both blocks, the line separators, the marks that reorder text.
// The set is spelled out instead of asked of package unicode, whose tables
// change with Go while this format does not.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case disguises(r):
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

func disguises(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || // C0, DEL, C1
		r == 0x200e || r == 0x200f || r == 0x061c || // direction marks
		r >= 0x2028 && r <= 0x202e || // separators, embeddings, overrides
		r >= 0x2066 && r <= 0x2069 || // isolates
		r == 0xfeff
}
