package simulate

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// plain is a request of a route that never streams.
type plain struct {
	body map[string]any // the JSON, or the form fields of a multipart body
	text string
	e    *Entry
}

// answer serves a route that answers in one piece: f returns a JSON value, or
// bytes for a binary answer.
func (u *Upstream) answer(f func(*plain) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := readBody(r)
		if err != nil {
			fail(w, r, http.StatusBadRequest, "invalid_request_error", "unreadable body")
			return
		}
		p := &plain{body: body, text: textOf(body), e: &Entry{RequestID: r.Header.Get("X-Request-Id"), Path: r.URL.Path, Status: 200}}
		p.e.Model, _ = body["model"].(string)
		p.e.Credential = last4(credential(r))
		p.e.Prompt = int64(len(strings.Fields(p.text)))
		defer func() { u.record(*p.e) }()
		c := &call{u: u, knobs: parseKnobs(p.text, 0), entry: *p.e}
		if c.misbehave(w, r) {
			*p.e = c.entry
			return
		}
		v := f(p)
		p.e.Finished = true
		if raw, ok := v.([]byte); ok {
			w.Header().Set("Content-Type", "audio/mpeg")
			w.Write(raw)
			return
		}
		reply(w, 200, v)
	}
}

// readBody reads JSON, or the text fields of a form; files are read and dropped.
func readBody(r *http.Request) (map[string]any, error) {
	body := map[string]any{}
	kind, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "multipart/form-data" {
		return body, json.NewDecoder(r.Body).Decode(&body)
	}
	parts := multipart.NewReader(r.Body, params["boundary"])
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		if part.FileName() == "" {
			body[part.FormName()] = string(value)
		}
	}
}

func countTokens(p *plain) any { return obj{"input_tokens": p.e.Prompt} }

func embeddings(p *plain) any {
	inputs, ok := p.body["input"].([]any)
	if !ok {
		inputs = []any{p.body["input"]}
	}
	out := make([]any, len(inputs))
	for i, in := range inputs {
		text, _ := in.(string)
		var vector any = Vector(text)
		if p.body["encoding_format"] == "base64" {
			raw, _ := binary.Append(nil, binary.LittleEndian, Vector(text)) // of floats: cannot fail
			vector = base64.StdEncoding.EncodeToString(raw)
		}
		out[i] = obj{"object": "embedding", "index": i, "embedding": vector}
	}
	return obj{"object": "list", "model": p.e.Model, "data": out, "usage": obj{"prompt_tokens": p.e.Prompt, "total_tokens": p.e.Prompt}}
}

// dimensions is the length of a [Vector].
const dimensions = 64

// Vector is how the simulated provider embeds a text: each of its words, in any
// case, is one step in a direction of its own, so that texts are near which share
// words.
func Vector(text string) []float32 {
	out := make([]float32, dimensions)
	out[0] = 0.5 // no text is nowhere
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		h := fnv.New32a()
		h.Write([]byte(w))
		out[h.Sum32()%dimensions]++
	}
	return out
}

func moderations(p *plain) any {
	return obj{"id": "modr-simulate", "model": p.e.Model, "results": []any{obj{"flagged": false, "categories": obj{"violence": false}, "category_scores": obj{"violence": 0.0}}}}
}

func images(p *plain) any {
	n := 1
	switch v := p.body["n"].(type) {
	case float64:
		n = int(v)
	case string:
		json.Unmarshal([]byte(v), &n)
	}
	out := make([]any, min(max(n, 1), 10))
	for i := range out {
		out[i] = obj{"b64_json": "aW1hZ2U=", "revised_prompt": "a simulated image"}
	}
	return obj{"created": created, "data": out}
}

func speech(*plain) any { return []byte(strings.Repeat("mp3", 100)) }

func transcription(p *plain) any {
	p.e.Prompt = 0
	return obj{"text": "the quick brown fox", "usage": obj{"type": "duration", "seconds": 7}}
}

func tokenize(p *plain) any {
	words := strings.Fields(p.text)
	out := make([]any, len(words))
	for i, w := range words {
		out[i] = obj{"token_id": i, "string_token": w, "token_bytes": []byte(w)}
	}
	return obj{"token_ids": out}
}

// storedResponse is an answer of /v1/responses, kept as the provider would.
// The provider knows credentials, not the gateway's teams.
type storedResponse struct {
	body  obj
	input any
	at    time.Time
}

func (u *Upstream) store(c *call, body obj) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stored["resp_"+c.id] = storedResponse{body, c.body["input"], u.opt.Now()}
}

func (u *Upstream) lookup(w http.ResponseWriter, r *http.Request) (storedResponse, bool) {
	u.mu.Lock()
	s, ok := u.stored[r.PathValue("id")]
	u.mu.Unlock()
	if !ok {
		fail(w, r, http.StatusNotFound, "invalid_request_error", "no such response")
	}
	return s, ok
}

func (u *Upstream) getResponse(w http.ResponseWriter, r *http.Request) {
	if s, ok := u.lookup(w, r); ok {
		reply(w, 200, s.body)
	}
}

func (u *Upstream) deleteResponse(w http.ResponseWriter, r *http.Request) {
	if _, ok := u.lookup(w, r); !ok {
		return
	}
	u.mu.Lock()
	delete(u.stored, r.PathValue("id"))
	u.mu.Unlock()
	reply(w, 200, obj{"id": r.PathValue("id"), "object": "response", "deleted": true})
}

func (u *Upstream) inputItems(w http.ResponseWriter, r *http.Request) {
	if s, ok := u.lookup(w, r); ok {
		reply(w, 200, obj{"object": "list", "data": []any{obj{"type": "message", "role": "user", "content": s.input}}, "has_more": false})
	}
}
