package api

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse"
)

// A shaper holds a scanned body against the message that it is to become, and
// rewrites it to the message's own spelling. It says everything that is wrong,
// each with the member's path, which protojson would not.
type shaper struct {
	aliases map[protoreflect.FullName]map[string]string
	bad     gatehouse.Violations
}

// member finds the field that a spelling means: protojson's two, or an alias.
func (s *shaper) member(m protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := m.Fields().ByJSONName(name); f != nil {
		return f
	}
	if f := m.Fields().ByName(protoreflect.Name(name)); f != nil {
		return f
	}
	return m.Fields().ByName(protoreflect.Name(s.aliases[m.FullName()][name]))
}

// StringMap reads a text that must be a JSON object of strings, as strictly as a
// body is.
func StringMap(field, text string, bad *gatehouse.Violations) map[string]string {
	tree, err := scan([]byte(text))
	if err != nil || tree.kind != '{' {
		bad.Addf(field, "must be a JSON object of strings, no name twice")
		return nil
	}
	out := map[string]string{}
	for _, x := range tree.members {
		if x.value.kind != '"' {
			bad.Addf(join(field, clip(x.name)), "must be a string")
		}
		out[x.name] = x.value.text
	}
	return out
}

// object checks the members of n and gives them their canonical names. Members
// that are null are dropped: in a message that is what null means.
func (s *shaper) object(n *node, m protoreflect.MessageDescriptor, path string) {
	if n.kind != '{' {
		s.bad.Addf(orBody(path), "must be an object")
		return
	}
	given := map[protoreflect.Name]string{}
	taken := map[protoreflect.OneofDescriptor]string{}
	kept := n.members[:0]
	for _, x := range n.members {
		f := s.member(m, x.name)
		at := join(path, x.name)
		if f == nil {
			s.bad.Addf(join(path, clip(x.name)), "unknown member")
			continue
		}
		if other, twice := given[f.Name()]; twice {
			s.bad.Addf(at, "given twice, also as %s", other)
			continue
		}
		given[f.Name()] = x.name
		if x.value.kind == 'n' {
			continue
		}
		if of := f.ContainingOneof(); of != nil && taken[of] != "" {
			s.bad.Addf(at, "cannot be given together with %s", taken[of])
			continue
		} else if of != nil {
			taken[of] = x.name
		}
		s.field(x.value, f, at)
		x.name = f.JSONName()
		kept = append(kept, x)
	}
	n.members = kept
}

func (s *shaper) field(n *node, f protoreflect.FieldDescriptor, path string) {
	switch {
	case f.IsMap():
		if n.kind != '{' {
			s.bad.Addf(path, "must be an object")
			return
		}
		for _, x := range n.members {
			s.one(x.value, f.MapValue(), join(path, clip(x.name)))
		}
	case f.IsList():
		if n.kind != '[' {
			s.bad.Addf(path, "must be an array")
			return
		}
		for i, e := range n.elems {
			s.one(e, f, path+"["+strconv.Itoa(i)+"]")
		}
	default:
		s.one(n, f, path)
	}
}

// one checks a single value. It may rewrite n: "false" to false.
func (s *shaper) one(n *node, f protoreflect.FieldDescriptor, path string) {
	switch f.Kind() {
	case protoreflect.MessageKind:
		s.message(n, f, path)
	case protoreflect.StringKind:
		if n.kind != '"' {
			s.bad.Addf(path, "must be a string")
		}
	case protoreflect.BytesKind:
		if n.kind != '"' || !base64Text(n.text) {
			s.bad.Addf(path, "must be base64")
		}
	case protoreflect.BoolKind:
		if n.text == "true" || n.text == "false" {
			n.kind = 't'
		} else {
			s.bad.Addf(path, "must be true or false")
		}
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		s.whole(n, f, path)
	case protoreflect.DoubleKind:
		if _, err := strconv.ParseFloat(n.text, 64); n.kind != '0' || err != nil {
			s.bad.Addf(path, "must be a number")
		}
	case protoreflect.EnumKind:
		if n.kind != '"' || f.Enum().Values().ByName(protoreflect.Name(n.text)) == nil {
			s.bad.Addf(path, "must be one of %s", strings.Join(names(f.Enum()), ", "))
		}
	}
}

// base64Text reports whether protojson reads s as bytes: in either alphabet, with
// padding or without.
func base64Text(s string) bool {
	encoding := base64.StdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.URLEncoding
	}
	if len(s)%4 != 0 {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	_, err := encoding.DecodeString(s)
	return err == nil
}

func (s *shaper) whole(n *node, f protoreflect.FieldDescriptor, path string) {
	bits := 64
	if f.Kind() == protoreflect.Int32Kind {
		bits = 32
	}
	v, err := strconv.ParseInt(n.text, 10, bits)
	// "+5" and "05" are numbers to ParseInt, and none to protojson.
	if n.kind != '0' && n.kind != '"' || err != nil || strconv.FormatInt(v, 10) != n.text {
		s.bad.Addf(path, "must be a whole number of at most %d", int64(math.MaxInt64)>>(64-bits))
	}
}

// message checks the types that have a JSON of their own, and descends into
// the others.
func (s *shaper) message(n *node, f protoreflect.FieldDescriptor, path string) {
	switch f.Message().FullName() {
	case "google.protobuf.Timestamp":
		if t, err := time.Parse(time.RFC3339, n.text); n.kind != '"' || err != nil || !plausible(t, n.text) {
			s.bad.Addf(path, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z")
		}
	case "google.protobuf.Duration":
		if d, err := time.ParseDuration(n.text); n.kind != '"' || err != nil {
			s.bad.Addf(path, "must be a duration such as \"30s\"")
		} else {
			n.text = seconds(d)
		}
	case "google.protobuf.FieldMask":
		if n.kind != '"' {
			s.bad.Addf(path, "must be a string of member names, separated by commas")
		}
	case "google.protobuf.ListValue":
		if n.kind != '[' || slices.ContainsFunc(n.elems, func(e *node) bool { return e.kind != '"' }) {
			s.bad.Addf(path, "must be an array of strings")
		}
	default:
		if n.kind == '"' && f.Name() == "api_key" {
			s.bad.Addf(path, "must be the key object with the members to change, not a key or its id")
			return
		}
		s.object(n, f.Message(), path)
	}
}

// seconds is d as protojson reads one, exact.
func seconds(d time.Duration) string {
	sign, ns := "", uint64(d)
	if d < 0 {
		sign, ns = "-", -ns
	}
	return fmt.Sprintf("%s%d.%09ds", sign, ns/1e9, ns%1e9)
}

// plausible keeps out what time.Parse reads and protojson does not: more than
// nanoseconds, a comma for the point, a year that is not 1 to 9999 in UTC.
func plausible(t time.Time, s string) bool {
	_, after, _ := strings.Cut(s, ".")
	digits := len(after) - len(strings.TrimLeft(after, "0123456789"))
	year := t.UTC().Year()
	return digits <= 9 && year >= 1 && year <= 9999 && !strings.Contains(s, ",")
}

func names(e protoreflect.EnumDescriptor) (out []string) {
	for i := range e.Values().Len() {
		out = append(out, string(e.Values().Get(i).Name()))
	}
	return out
}

// behaves reports whether the field carries the behaviour in its proto.
func behaves(f protoreflect.FieldDescriptor, b annotations.FieldBehavior) bool {
	list, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(list, b)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orBody(path string) string {
	if path == "" {
		return "body"
	}
	return path
}
