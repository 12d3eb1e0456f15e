package client

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"gatehouse"
)

// Where the root package has a zero value for "none", the wire has absence.
// These translate between the two, and nothing else does.

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func span(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func some[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// id reads what a server says is an id; what is none names nothing.
func id(s string) gatehouse.ID {
	out, err := gatehouse.ParseID(s)
	if err != nil {
		return gatehouse.ID{}
	}
	return out
}

func revision(s string) gatehouse.Revision {
	r, err := gatehouse.ParseRevision(s)
	if err != nil {
		return gatehouse.Revision{}
	}
	return r
}

// committed is the revision that a mutation committed under.
func committed(h http.Header) gatehouse.Revision { return revision(h.Get("X-Gatehouse-Revision")) }

// warnings reads the advice of an accepted request: 299 gatehouse "text".
func warnings(h http.Header) (out []string) {
	for _, w := range h.Values("Warning") {
		if _, quoted, ok := strings.Cut(w, ` "`); ok {
			if text, err := strconv.Unquote(`"` + quoted); err == nil {
				out = append(out, text)
			}
		}
	}
	return out
}

// token reads a credential that an answer shows. One that cannot be read would
// be lost for ever, so it is an error and not the zero Token.
func token(s *string) (gatehouse.Token, error) {
	if s == nil {
		return gatehouse.Token{}, nil
	}
	t, err := ParseKey(*s)
	if err != nil {
		return t, gatehouse.Errorf(gatehouse.Internal, "the answer shows a key that is malformed").Because(err)
	}
	return t, nil
}

// last4 is the visible end of a redacted key.
func last4(redacted string) []gatehouse.Secret {
	_, end, ok := strings.Cut(redacted, "...")
	if !ok || end == "" {
		return nil
	}
	return []gatehouse.Secret{{Last4: end}}
}

func prefixes(in []string) (out []netip.Prefix) {
	for _, s := range in {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func cidrs(in []netip.Prefix) []string {
	out := make([]string, len(in))
	for i, p := range in {
		out[i] = p.String() // an invalid one says so, and is refused with the rest
	}
	return out
}

func texts[S ~string](in []S) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}

func each[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = f(a)
	}
	return out
}

// take notes that a member is to be changed, and yields its new value.
func take[T any](paths *[]string, name string, o gatehouse.Opt[T]) T {
	if o.Set {
		*paths = append(*paths, name)
	}
	return o.Value
}

func mask(paths []string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

// under joins a collection's path with the name of a member of it. A name may
// hold "/", which stays a separator, as the routes have it.
func under(collection, name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return collection + "/" + strings.Join(parts, "/")
}

func page(p gatehouse.Page) (size int32, token string) {
	return int32(min(max(p.Size, 0), 1<<30)), p.Token
}
