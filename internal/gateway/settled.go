package gateway

import (
	"time"

	"gatehouse"
	"gatehouse/internal/llm"
)

// Settled is what is known of a request once it has ended, for traces. It holds
// no body, no credential, no header but the trace context, and no address of a
// client: what leaves the machine in a trace is read by more people than a log.
type Settled struct {
	RecordID  gatehouse.ID // of the usage row; its last eight bytes are the span that the upstream was told
	RequestID string
	Start     time.Time     // the request's head was read
	Sent      time.Duration // after Start: admitted, and about to be sent; 0: refused before
	Latency   time.Duration // after Start: the end of the answer
	FirstByte time.Duration // after Start: the first byte of an upstream's answer; 0: none

	Method string
	Route  llm.Route
	Status int    // 0: the client left before an answer
	Slug   string // of our own error; empty when the answer was an upstream's

	TeamID, KeyID gatehouse.ID // zero when the key is not known

	Upstream  *gatehouse.Upstream // the last one that was asked; nil: none
	Attempts  int
	Asked     string // the model in the body, when the route has one
	Model     string // canonical
	Stream    bool
	Outcome   gatehouse.Outcome
	Usage     gatehouse.Usage
	Estimated bool

	// The client's trace context, valid or empty.
	Traceparent, Tracestate string
}

// tell hands a settled request to whoever asked for it. It runs after the
// record is closed, so that a slow or broken observer costs no usage.
func (c *call) tell(latency time.Duration) {
	if c.g.c.OnSettled == nil {
		return
	}
	s := &Settled{
		RecordID: c.id, RequestID: c.requestID, Start: c.start, Sent: c.sent, Latency: latency, FirstByte: c.firstByte,
		Method: clip(c.r.Method), Route: c.route, Status: c.status, Slug: c.slug, Upstream: c.asked, Attempts: c.attempts,
		Asked: c.scan.Model, Model: c.model, Stream: c.scan.Stream, Outcome: c.outcome, Usage: c.usage, Estimated: c.estimated,
	}
	if c.known {
		s.TeamID, s.KeyID = c.key.TeamID(), c.key.ID()
	}
	if v := c.r.Header["Traceparent"]; len(v) == 1 && validTrace(v[0]) {
		s.Traceparent = v[0]
		if state := c.r.Header["Tracestate"]; len(state) == 1 {
			s.Tracestate = state[0]
		}
	}
	c.g.c.OnSettled(s)
}
