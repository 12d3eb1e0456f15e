package llm

import "gatehouse"

// TapConfig says what answer a Tap will see.
type TapConfig struct {
	Family     gatehouse.Family
	Kind       gatehouse.UpstreamKind
	SSE        bool  // the answer's Content-Type is text/event-stream
	Binary     bool  // the answer is neither SSE nor JSON (speech): only counted
	StripUsage bool  // drop the usage-only frame: we asked for it, the client did not
	HoldID     bool  // let no byte through before the object id is known (or cannot come): set it for POST /v1/responses
	Body       *Body // of the request, for what answers do not report: characters, input images
}

// Tap reads an answer as it passes. It never changes bytes except by leaving
// out whole SSE frames, and never holds more than 1 MiB back. The zero Tap is
// not usable; Reset makes one reusable from a pool.
type Tap struct {
	cfg TapConfig
}

// NewTap makes a Tap.
func NewTap(c TapConfig) *Tap { return &Tap{cfg: c} }

// Reset prepares t for another answer, keeping its buffers.
func (t *Tap) Reset(c TapConfig) { t.cfg = c }

// Write takes the next bytes of the answer and returns those to forward now:
// usually p itself, sometimes nothing, sometimes a buffer of t that is valid
// until the next call. Splitting an answer differently changes neither the
// forwarded bytes nor the result.
func (t *Tap) Write(p []byte) (forward []byte) { return p }

// Finish ends the answer and returns what is still to be forwarded. Call it
// also when the upstream broke off; further calls return nothing.
func (t *Tap) Finish() (forward []byte) { return nil }

// Streamed is the estimated number of output tokens so far, or what the
// provider reported when it is known: monotone, for TPM as it flows.
func (t *Tap) Streamed() int64 { return 0 }

// ObjectID is the id of the response object, empty until it was seen. With
// HoldID it is known before Write returns the first byte.
func (t *Tap) ObjectID() string { return "" }

// Terminal reports that the answer's end was seen: [DONE], message_stop,
// response.completed or its like; for JSON, that the value is complete.
func (t *Tap) Terminal() bool { return false }

// Result is what the answer said. Complete after Finish, and usable before.
func (t *Tap) Result() Result { return Result{} }

// Result is what an answer said of itself.
type Result struct {
	Usage       gatehouse.Usage // as far as reported
	Seen        bool            // the provider's usage was seen: Usage is its word, not a guess
	Flawed      bool            // its numbers contradict each other and were clamped
	Raw         string          // its usage object verbatim, several joined by "\n"; for Convert
	OutputBytes int64           // text bytes of the answer
	ObjectID    string
	Model       string
	ServiceTier string
	StreamError string // the error object an SSE answer held, clipped
	Terminal    bool
}

// Vector is what to bill: Usage when it was seen and the answer ended, else an
// estimate over what was seen, with prompt tokens as counted by the caller.
func (r *Result) Vector(prompt int64) (u gatehouse.Usage, estimated bool) { return r.Usage, !r.Seen }

// Convert turns a provider's usage object into the disjoint vector. ok is false
// when raw holds no usage; flawed says that its numbers contradict each other.
// A record's UpstreamUsage goes through it again when a mistake is re-rated.
func Convert(kind gatehouse.UpstreamKind, family gatehouse.Family, raw []byte) (u gatehouse.Usage, flawed, ok bool) {
	return u, false, false
}
