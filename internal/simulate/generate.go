package simulate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// call is one generation: the request as understood and the answer as planned.
type call struct {
	u     *Upstream
	body  map[string]any
	knobs Knobs
	id    string
	entry Entry
	words []string
	tool  string // name of the tool to call; empty for text
	// askedUsage is stream_options.include_usage.
	askedUsage bool
}

// wire writes one family's answers. Frames of a stream are whole SSE frames.
type wire interface {
	// whole is the answer of a request that does not stream.
	whole(c *call) any
	// open, chunk and close are the frames of one that does.
	open(c *call) []string
	chunk(c *call, i int) string
	close(c *call) []string
}

var vocabulary = strings.Fields("the quick brown fox jumps over a lazy dog while seven wizards brew strong jasmine tea")

// generate serves a route that can stream.
func (u *Upstream) generate(wr wire) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := u.newCall(r)
		if err != nil {
			fail(w, r, http.StatusBadRequest, "invalid_request_error", err.Error())
			return
		}
		defer func() { u.record(c.entry) }()
		if c.misbehave(w, r) {
			return
		}
		if c.entry.Streamed {
			c.stream(w, r, wr)
		} else {
			c.whole(w, r, wr)
		}
	}
}

func (u *Upstream) newCall(r *http.Request) (*call, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("the body broke off")
	}
	var body map[string]any
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, fmt.Errorf("not JSON")
	}
	return u.understand(r, body), nil
}

// understand reads a body of REST, or one put in its names, and plans the answer.
func (u *Upstream) understand(r *http.Request, body map[string]any) *call {
	c := &call{u: u, body: body, id: rand.Text()[:20]}
	text := textOf(c.body)
	c.knobs = parseKnobs(text, u.opt.Words)
	if c.knobs.ID != "" {
		c.id = c.knobs.ID
	}
	model, _ := c.body["model"].(string)
	stream, _ := c.body["stream"].(bool)
	options, _ := c.body["stream_options"].(map[string]any)
	c.askedUsage, _ = options["include_usage"].(bool)
	c.plan(text)
	c.entry.RequestID, c.entry.Path, c.entry.Model = r.Header.Get("X-Request-Id"), r.URL.Path, model
	c.entry.Credential, c.entry.Status, c.entry.Streamed = last4(credential(r)), http.StatusOK, stream
	return c
}

// plan decides the words of the answer and what they cost.
func (c *call) plan(text string) {
	n := c.knobs.Words
	for _, limit := range []string{"max_tokens", "max_completion_tokens", "max_output_tokens"} {
		if m, ok := c.body[limit].(float64); ok && int(m) < n {
			n = int(m)
		}
	}
	if c.knobs.Say != "" {
		n = min(n, 1)
	}
	c.words = make([]string, n)
	for i := range c.words {
		c.words[i] = vocabulary[i%len(vocabulary)] + strings.Repeat("x", c.knobs.Repeat) + " "
		if c.knobs.Say != "" {
			c.words[i] = c.knobs.Say
		}
	}
	c.tool = c.pickTool()
	c.entry.Prompt = int64(len(strings.Fields(text)))
	if c.knobs.Prompt >= 0 {
		c.entry.Prompt = c.knobs.Prompt
	}
	c.entry.Cached = min(c.knobs.Cached, c.entry.Prompt)
	c.entry.Completion, c.entry.Reasoning = int64(n), c.knobs.Reasoning
}

// pickTool names the tool to call: the one the prompt or tool_choice demands.
func (c *call) pickTool() string {
	tools, _ := c.body["tools"].([]any)
	choice, _ := c.body["tool_choice"].(string)
	if len(tools) == 0 || c.knobs.Tool == "" && choice != "required" && choice != "any" {
		return ""
	}
	if c.knobs.Tool != "" && c.knobs.Tool != "*" {
		return c.knobs.Tool
	}
	first, _ := tools[0].(map[string]any)
	if f, ok := first["function"].(map[string]any); ok {
		first = f
	}
	name, _ := first["name"].(string)
	return name
}

// misbehave plays the faults that come before a good header.
func (c *call) misbehave(w http.ResponseWriter, r *http.Request) bool {
	wait(r.Context(), c.knobs.First)
	switch k := c.knobs; {
	case k.Status != 0:
		c.refuse()
		if k.RetryAfter != "" {
			w.Header().Set("Retry-After", k.RetryAfter)
		}
		fail(w, r, k.Status, "simulated_error", "simulated status")
	case k.Hang:
		<-r.Context().Done()
	case k.Garbage:
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "\x00\xff<html>not json")
	default:
		return false
	}
	return true
}

// refuse books the knob's status, which costs nothing.
func (c *call) refuse() {
	e := &c.entry
	e.Status, e.Prompt, e.Cached, e.Completion, e.Reasoning, e.Sources = c.knobs.Status, 0, 0, 0, 0, 0
}

func (c *call) whole(w http.ResponseWriter, r *http.Request, wr wire) {
	wait(r.Context(), c.knobs.Delay*time.Duration(len(c.words)))
	body, _ := json.Marshal(wr.whole(c))
	w.Header().Set("Content-Type", "application/json")
	if c.knobs.Lie {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+1000))
		w.Write(body)
		hangUp(w)
		return
	}
	if _, err := w.Write(body); err == nil && http.NewResponseController(w).Flush() == nil {
		c.entry.Finished = true
	}
}

func (c *call) stream(w http.ResponseWriter, r *http.Request, wr wire) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	send := func(frames ...string) bool {
		_, err := io.WriteString(w, strings.Join(frames, ""))
		return err == nil && flush.Flush() == nil
	}
	if !send(wr.open(c)...) {
		return
	}
	for i := range max(len(c.words), 1) {
		wait(r.Context(), c.knobs.Delay)
		switch i {
		case c.knobs.Cut:
			half := wr.chunk(c, i)
			send(half[:len(half)/2])
			hangUp(w)
			return
		case c.knobs.Stall:
			<-r.Context().Done()
			return
		case c.knobs.Break:
			send("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"simulated\"}}\n\n")
			hangUp(w)
			return
		}
		if !send(wr.chunk(c, i)) {
			return
		}
	}
	c.entry.Finished = send(wr.close(c)...)
}

// hangUp drops the connection, of HTTP/2 the stream, without ending the body.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	conn.Close()
}

// wait pauses for d, or says why it may not.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// textOf gathers every string of a body, in an order that does not depend on
// map iteration only in its length: knobs and word counts need no order.
func textOf(v any) string {
	var b strings.Builder
	var walk func(any)
	walk = func(v any) {
		switch x := v.(type) {
		case string:
			b.WriteString(x)
			b.WriteByte(' ')
		case []any:
			for _, e := range x {
				walk(e)
			}
		case map[string]any:
			for k, e := range x {
				switch k {
				case "messages", "input", "prompt", "system", "content", "text", "instructions":
					walk(e)
				}
			}
		}
	}
	walk(v)
	return b.String()
}
