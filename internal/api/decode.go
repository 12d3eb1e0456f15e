package api

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse"
)

// content is a request after judgement: what protojson and grpc-gateway are
// given instead of what was sent.
type content struct {
	body  []byte
	query string
	team  gatehouse.ID // that a teamless path was given
	form  *Form
}

// hash is what an Idempotency-Key is bound to. Spelling and white space are
// gone by now, so a retry from another client library is still the same.
func (c content) hash(r *http.Request) [32]byte {
	return sha256.Sum256(slices.Concat([]byte(r.Method+" "+r.URL.Path+"?"+c.query+"\n"+c.team.String()), c.body, c.form.digest()))
}

// decode judges query and body of a request to rt.
func (rt *route) decode(w http.ResponseWriter, r *http.Request, vars map[string]string) (content, error) {
	s := &shaper{aliases: rt.aliases}
	query := rt.queryOf(s, r.URL.RawQuery, vars)
	team := rt.teamOf(s, r)
	if rt.upload() != nil {
		return content{query: query.Encode(), team: team}, s.bad.Err()
	}
	tree, err := rt.bodyOf(w, r)
	if err != nil {
		return content{}, err
	}
	switch {
	case rt.object != nil && rt.body == "*":
		s.bound(tree, rt.input, vars)
		rt.updateWhole(s, r.Method, tree)
	case rt.object != nil:
		rt.updateObject(s, r.Method, tree, query)
	case rt.body != "" && rt.body != "*":
		m := rt.input.Fields().ByName(protoreflect.Name(rt.body)).Message()
		s.prune(tree, m, false)
		s.object(tree, m, "")
	case rt.body == "*":
		s.bound(tree, rt.input, vars)
		s.object(tree, rt.input, "")
	}
	if err := s.bad.Err(); err != nil {
		return content{}, err
	}
	return content{body: tree.append(nil), query: query.Encode(), team: team}, nil
}

// updateWhole is {"apiKey":{…},"fieldMask":"…"}.
func (rt *route) updateWhole(s *shaper, method string, tree *node) {
	object, sent := rt.parts(s, tree)
	var mask []string
	switch {
	case object == nil || object.kind == 'n':
		s.bad.Addf(rt.object.JSONName(), "is required")
	case object.kind == '{':
		s.prune(object, rt.object.Message(), true)
		mask = s.maskOf(method, sent, object, rt.object.Message())
	}
	s.object(tree, rt.input, "")
	s.some(mask)
	setMask(tree, mask)
}

// parts finds the object and the mask, under whatever spelling.
func (rt *route) parts(s *shaper, tree *node) (object *node, sent string) {
	for _, x := range tree.members {
		switch s.member(rt.input, x.name) {
		case rt.object:
			object = x.value
		case rt.input.Fields().ByName("field_mask"):
			sent = x.value.text
		}
	}
	return object, sent
}

// updateObject is the object itself, its mask in the query.
func (rt *route) updateObject(s *shaper, method string, tree *node, query url.Values) {
	m := rt.object.Message()
	s.prune(tree, m, true)
	mask := s.maskOf(method, query.Get("field_mask"), tree, m)
	s.object(tree, m, "")
	s.some(mask)
	query.Set("field_mask", strings.Join(mask, ","))
}

// some refuses an update that changes nothing: it is a mistake in every case.
func (s *shaper) some(mask []string) {
	if len(mask) == 0 && len(s.bad) == 0 {
		s.bad.Addf("body", "names no member to change")
	}
}

// setMask writes the mask that was decided where protojson will find it, in
// the only spelling it reads.
func setMask(tree *node, mask []string) {
	tree.drop("fieldMask")
	for i, name := range mask {
		mask[i] = Camel(name)
	}
	text := strings.Join(mask, ",")
	tree.members = append(tree.members, member{name: "fieldMask", value: &node{kind: '"', text: text}})
}

// Camel spells a proto name as JSON does.
func Camel(snake string) string {
	parts := strings.Split(snake, "_")
	for i, p := range parts[1:] {
		parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, "")
}

// bound drops members that the path has already said, and refuses those that
// say otherwise: grpc-gateway would silently take the path's.
func (s *shaper) bound(tree *node, m protoreflect.MessageDescriptor, vars map[string]string) {
	kept := tree.members[:0]
	for _, x := range tree.members {
		f := s.member(m, x.name)
		if f == nil {
			kept = append(kept, x)
			continue
		}
		said, inPath := vars[string(f.Name())]
		switch {
		case !inPath:
			kept = append(kept, x)
		case x.value.text != said:
			s.bad.Addf(x.name, "differs from the path")
		}
	}
	tree.members = kept
}

// bodyOf reads and scans the body. Absent is the same as {}.
func (rt *route) bodyOf(w http.ResponseWriter, r *http.Request) (*node, error) {
	raw, err := read(w, r)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return &node{kind: '{'}, nil
	}
	tree, err := scan(raw)
	if err != nil {
		return nil, err
	}
	if tree.kind != '{' {
		return nil, gatehouse.Violations{{Field: "body", Problem: "must be an object"}}.Err()
	}
	if rt.body == "" && len(tree.members) > 0 {
		return nil, gatehouse.Violations{{Field: "body", Problem: "this operation takes none"}}.Err()
	}
	return tree, nil
}

func read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return nil, refuse(http.StatusRequestEntityTooLarge, "body: larger than %d bytes", maxBody)
	case err != nil:
		w.Header().Set("Connection", "close") // rather than wait for the rest
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "body: ended early or came too slowly").Because(err)
	case len(raw) > 0 && compressed(r.Header):
		return nil, refuse(http.StatusUnsupportedMediaType, "Content-Encoding: send the body as it is, uncompressed")
	case len(raw) > 0 && !readable(r.Header):
		return nil, refuse(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	return raw, nil
}

func compressed(h http.Header) bool {
	e := h.Get("Content-Encoding")
	return e != "" && e != "identity"
}

// readable accepts JSON, curl's default for -d, and no type at all.
func readable(h http.Header) bool {
	t := h.Get("Content-Type")
	if t == "" {
		return true
	}
	kind, params, err := mime.ParseMediaType(t)
	if err != nil || kind != "application/json" && kind != "application/x-www-form-urlencoded" {
		return false
	}
	charset, ok := params["charset"]
	return !ok || strings.EqualFold(charset, "utf-8")
}
