package llm

import (
	"bytes"

	"gatehouse"
)

// TapConfig says what answer a Tap will see.
type TapConfig struct {
	Family     gatehouse.Family
	Kind       gatehouse.UpstreamKind
	SSE        bool  // the answer's Content-Type is text/event-stream
	Binary     bool  // the answer is neither SSE nor JSON (speech): only counted
	StripUsage bool  // drop the usage-only frame: we asked for it, the client did not
	HoldID     bool  // let no byte through before the object id is known (or cannot come): set it for POST /v1/responses
	Body       *Body // of the request, for what answers do not report: characters, pictures; may be nil
}

// maxHeld bounds what a Tap keeps back or aside of one frame or answer.
const maxHeld = 1 << 20

// Tap reads an answer as it passes. It never changes bytes except by leaving
// out whole SSE frames, and never holds more than 1 MiB back. The zero Tap is
// not usable before Reset, which also makes one reusable from a pool.
type Tap struct {
	cfg   TapConfig
	split splitter
	pick  picker
	out   []byte // what Write returns when it is not its argument
	join  []byte // a frame's data when it has several lines
	begun []byte // usage at the start of a message
	usage []byte // the latest usage
	like  likeness
	id    string
	model string
	tier  string
	fault string

	text     int64 // bytes of answer text
	streamed int64
	pictures int64
	held     int // bytes of a JSON answer kept back until its id is known
	final    bool
	terminal bool
	finished bool
	stripped bool // the last frame was left out
}

// Reset prepares t for another answer, keeping its buffers.
func (t *Tap) Reset(c TapConfig) {
	*t = Tap{
		cfg: c, out: t.out[:0], join: t.join[:0], begun: t.begun[:0], usage: t.usage[:0],
		split: splitter{carry: t.split.carry[:0]}, pick: picker{buf: t.pick.buf[:0]},
		like: likeness{head: t.like.head[:0], tail: t.like.tail[:0]},
	}
	const keep = 64 << 10 // one picture must not stay in a pool for ever
	if cap(t.out) > keep {
		t.out = nil
	}
	if cap(t.join) > keep {
		t.join = nil
	}
	if cap(t.split.carry) > keep {
		t.split.carry = nil
	}
}

// Write takes the next bytes of the answer and returns those to forward now:
// usually p itself, sometimes nothing, sometimes a buffer of t that is valid
// until the next call. Splitting an answer differently changes neither the
// forwarded bytes nor the result.
func (t *Tap) Write(p []byte) (forward []byte) {
	switch {
	case t.finished || len(p) == 0:
		return p
	case t.cfg.SSE:
		return t.stream(p)
	case t.cfg.Binary:
		t.terminal = true
		return p
	}
	t.pick.feed(p)
	return t.hold(p)
}

// hold keeps a JSON answer back until its id has passed the picker.
func (t *Tap) hold(p []byte) []byte {
	if !t.cfg.HoldID {
		return p
	}
	release := t.pick.id != "" || t.pick.depth == 0 || t.held+len(p) > maxHeld
	if t.held == 0 && release {
		t.cfg.HoldID = !release
		return p
	}
	t.out = append(t.out, p...)
	t.held = len(t.out)
	if !release {
		return nil
	}
	t.cfg.HoldID = false
	return t.out
}

// Finish ends the answer and returns what is still to be forwarded. Call it
// also when the upstream broke off; further calls return nothing.
func (t *Tap) Finish() (forward []byte) {
	if t.finished {
		return nil
	}
	t.finished = true
	switch {
	case t.cfg.SSE:
		return t.endStream()
	case t.cfg.HoldID:
		return t.out
	}
	return nil
}

// bytesPerToken is what English text comes to in every known vocabulary; code
// and other languages have fewer, and estimates are flagged.
const bytesPerToken = 4

// Streamed is the estimated number of output tokens so far, or what the
// provider reported when it is known: monotone, for TPM as it flows.
func (t *Tap) Streamed() int64 {
	t.streamed = max(t.streamed, (t.text+t.pick.text+bytesPerToken-1)/bytesPerToken)
	if t.final && len(t.usage) > 0 {
		u, _, _ := Convert(t.cfg.Kind, t.cfg.Family, t.usage)
		t.streamed = max(t.streamed, u.Completion())
	}
	return t.streamed
}

// ObjectID is the id of the response object, empty until it was seen. With
// HoldID it is known before Write returns the first byte that shows it.
func (t *Tap) ObjectID() string {
	if t.id != "" {
		return t.id
	}
	return t.pick.id
}

// Terminal reports that the answer's end was seen: [DONE], message_stop,
// response.completed or its like; for JSON, that the value is complete.
func (t *Tap) Terminal() bool { return t.terminal || t.pick.closed }

// Result is what the answer said. Complete after Finish, and usable before.
func (t *Tap) Result() Result {
	r := Result{
		OutputBytes: t.text + t.pick.text, ObjectID: t.ObjectID(), Model: t.model, ServiceTier: t.tier,
		StreamError: t.fault, Terminal: t.Terminal(), family: t.cfg.Family,
	}
	raw := t.usage
	if !t.cfg.SSE {
		raw, r.Model, r.ServiceTier = t.pick.usage, t.pick.model, t.pick.tier
	} else if len(t.begun) > 0 {
		raw = bytes.TrimSuffix(bytes.Join([][]byte{t.begun, t.usage}, []byte("\n")), []byte("\n"))
	}
	var ok bool
	r.Usage, r.Flawed, ok = Convert(t.cfg.Kind, t.cfg.Family, raw)
	r.Raw = string(raw)
	if r.ServiceTier == "" && t.cfg.Family == gatehouse.FamilyMessages {
		r.ServiceTier = tierWithin(raw)
	}
	r.Seen = ok && (t.final || r.Terminal || !t.cfg.SSE)
	t.unreported(&r)
	return r
}

// unreported fills in what answers leave to be counted: pictures by the number
// that came, speech by the text that went in, moderation at nothing.
func (t *Tap) unreported(r *Result) {
	b := t.cfg.Body
	switch t.cfg.Family {
	case gatehouse.FamilyModeration:
		r.Seen = r.Terminal
	case gatehouse.FamilyImages:
		t.countPictures(r, b)
	case gatehouse.FamilyAudio:
		if !r.Seen && b != nil && b.Characters > 0 {
			r.Usage[gatehouse.Characters], r.Seen = b.Characters, r.Terminal
		}
	}
}

// countPictures counts pictures unless they were reported as tokens: the parts
// are disjoint. Only xAI bills the pictures that go into an edit.
func (t *Tap) countPictures(r *Result, b *Body) {
	if r.Usage.Tokens() > 0 {
		return
	}
	n := t.pictures + t.pick.data
	r.Usage[gatehouse.Images] = n
	r.Seen = r.Terminal && n > 0
	if b == nil {
		return
	}
	if !r.Seen {
		r.Usage[gatehouse.Images] = max(n, b.N)
	}
	if t.cfg.Kind == gatehouse.XAI {
		r.Usage[gatehouse.PromptImages] = b.PromptImages
	}
}

// Result is what an answer said of itself.
type Result struct {
	Usage       gatehouse.Usage // as far as reported
	Seen        bool            // the provider's final word: Usage is not a guess
	Flawed      bool            // its numbers contradict each other and were clamped
	Raw         string          // its usage object verbatim, several joined by "\n"; for Convert
	OutputBytes int64           // text bytes of the answer
	ObjectID    string
	Model       string
	ServiceTier string
	StreamError string // the error object an SSE answer held, clipped
	Terminal    bool

	family gatehouse.Family
}

// Vector is what to bill: Usage when it was seen, else an estimate over what
// was reported so far, with the prompt's tokens as counted by the caller.
func (r *Result) Vector(prompt int64) (u gatehouse.Usage, estimated bool) {
	u = r.Usage
	if r.Seen {
		return u, false
	}
	switch r.family {
	case gatehouse.FamilyImages, gatehouse.FamilyAudio, gatehouse.FamilyModeration:
		return u, true
	}
	if u.Prompt() == 0 {
		u[gatehouse.PromptText] = prompt
	}
	written := (r.OutputBytes + bytesPerToken - 1) / bytesPerToken
	if missing := written - u.Completion(); missing > 0 && r.family != gatehouse.FamilyEmbeddings {
		u[gatehouse.CompletionText] += missing
	}
	return u, true
}
