package gateway

import (
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/llm"
)

// wholeAnswer is up to which size an answer that is no stream is read before
// the client is told anything: one that turns out broken is then a plain 502.
const wholeAnswer = 32 << 10

// relay passes an answer of the upstream on. Errors of the client's making go
// through unread; what a model wrote passes the tap.
func (c *call) relay(x *exchange) *refusal {
	contentType := x.header.Get("Content-Type")
	sse := hasType(contentType, "text/event-stream")
	json := hasType(contentType, "application/json")
	if e := x.header.Get("Content-Encoding"); e != "" && e != "identity" {
		return c.garbage("its answer is compressed, which nobody asked for")
	}
	if x.status < 300 && c.route.Op == llm.Create {
		binary := !sse && !json
		if binary && c.route.Family != gatehouse.FamilyAudio {
			return c.garbage("its answer is neither JSON nor a stream")
		}
		c.tap = c.g.pools.taps.Get().(*llm.Tap)
		c.tap.Reset(llm.TapConfig{
			Family: c.route.Family, Kind: x.link.up.Kind, SSE: sse, Binary: binary, Body: &c.scan,
			StripUsage: x.link.up.AskUsage && c.scan.AddsUsage(), HoldID: c.route.Family == gatehouse.FamilyResponses,
		})
	}
	buf := c.g.pools.chunks.Get().(*[]byte)
	defer c.g.pools.chunks.Put(buf)
	switch {
	case sse:
		return c.relayStream(x, *buf, new(gate))
	case !json && x.status < 300:
		return c.relayStream(x, *buf, nil) // speech: heard while it is made
	}
	return c.relayWhole(x, *buf, json)
}

func hasType(v, want string) bool {
	return len(v) >= len(want) && strings.EqualFold(v[:len(want)], want) && (len(v) == len(want) || v[len(want)] == ';' || v[len(want)] == ' ')
}

// garbage is the answer when the upstream's makes no sense.
func (c *call) garbage(why string) *refusal {
	c.outcome = gatehouse.UpstreamLost
	return refuse(llm.UpstreamFailed, "The upstream provider answered with something that is not an answer.").because(errors.New(why))
}

// headOf passes on the upstream's header and the status with it.
func (c *call) headOf(x *exchange, length int64) {
	llm.EachReturned(x.header, func(name, value string) {
		if name != "X-Request-Id" { // ours is set
			c.fields = append(c.fields, field{name, value})
		}
	})
	c.firstByte = c.g.c.Now().Sub(c.start)
	c.head(x.status, length)
}

// relayWhole passes on an answer that is no stream.
func (c *call) relayWhole(x *exchange, buf []byte, json bool) *refusal {
	n, err := 0, error(nil)
	for n < len(buf) && err == nil {
		var k int
		k, err = x.Read(buf[n:])
		n += k
	}
	if err == nil {
		return c.relayLong(x, buf)
	}
	if err != io.EOF {
		return c.brokeOff(err)
	}
	if c.tap != nil {
		c.tap.Write(buf[:n])
		c.tap.Finish()
		if json && !c.tap.Terminal() {
			return c.garbage("its JSON is cut off")
		}
		if no := c.bind(); no != nil {
			return no
		}
	}
	if c.left() {
		return nil
	}
	c.headOf(x, int64(n))
	if n > 0 {
		c.writeWait(n)
		c.gone = c.write(buf[:n]) != nil
	}
	return nil
}

// relayLong passes on what did not fit, as it comes.
func (c *call) relayLong(x *exchange, buf []byte) *refusal {
	var bound *refusal
	n, err := len(buf), error(nil)
	drained := int64(0)
	for {
		out := buf[:n]
		if c.tap != nil {
			out = c.tap.Write(out)
			if bound = c.bind(); bound != nil {
				return c.cut(bound)
			}
		}
		if len(out) > 0 && !c.left() {
			c.part(x, out)
		}
		if err != nil {
			break
		}
		if c.gone {
			if drained += int64(n); c.drained(drained) {
				return nil
			}
		}
		n, err = x.Read(buf)
	}
	if err != io.EOF {
		return c.brokeOff(err)
	}
	if c.tap == nil {
		return nil
	}
	if rest := c.tap.Finish(); len(rest) > 0 && !c.left() {
		c.part(x, rest)
	}
	return nil
}

// part writes a piece of a long answer, with the head before the first.
func (c *call) part(x *exchange, p []byte) {
	if c.status == 0 {
		c.headOf(x, x.length)
	}
	c.writeDeadline()
	c.gone = c.write(p) != nil || c.gone
}

// left reports whether the client has gone. From then on nothing is written
// and the answer is only read to its end.
func (c *call) left() bool {
	c.gone = c.gone || !c.deaf && c.r.Context().Err() != nil || c.wire != nil && c.wire.gone.Load()
	return c.gone
}

// bind records the id of a stored response before the client sees it: whoever
// has an id may use it anywhere, so it must be known whose it is.
func (c *call) bind() *refusal {
	if c.bound || c.entry == nil || c.route.Family != gatehouse.FamilyResponses {
		return nil
	}
	id := c.tap.ObjectID()
	if id == "" {
		return nil
	}
	c.bound = true
	if err := c.entry.Object(id); err != nil {
		c.outcome = gatehouse.Failed
		return refuse(llm.NotReady, "The response's id could not be recorded, so it is not shown. Please retry.").wait(time.Second).because(err)
	}
	return nil
}

// cut ends an answer that must not go on.
func (c *call) cut(no *refusal) *refusal {
	c.abort = c.status != 0
	return no
}

// brokeOff ends an answer that the upstream did not end. As long as the client
// was told nothing it is a plain error.
func (c *call) brokeOff(err error) *refusal {
	c.outcome = gatehouse.UpstreamLost
	if c.left() {
		return nil
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return c.cut(refuse(llm.UpstreamTimeout, "The upstream provider stopped sending.").because(err))
	}
	return c.cut(refuse(llm.UpstreamFailed, "The upstream provider broke off its answer.").because(err))
}

// A client that takes nothing for this long is gone. The deadline is moved
// rarely, since moving it costs a timer.
const (
	writeTime  = 60 * time.Second
	writeRearm = 10 * time.Second
)

// writeWait sets the deadline for an answer written at once, unless it fits the
// server's buffer: that is written only when this call has ended, and holds
// nothing.
func (c *call) writeWait(n int) {
	if n > serverBuffer && !c.direct || n > lingering/2 {
		c.writeDeadline()
	}
}

// serverBuffer is what net/http gathers of an answer before it writes.
const serverBuffer = 2 << 10

func (c *call) writeDeadline() {
	if c.wire != nil && c.wire.raw != nil {
		return // the wire sets one when a write must wait
	}
	now := time.Now()
	if now.Sub(c.written) < writeRearm {
		return
	}
	c.written = now
	if w, ok := c.w.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = w.SetWriteDeadline(now.Add(writeTime))
	}
}

// endWriting takes the deadline away: the connection serves other requests.
func (c *call) endWriting() {
	if c.written.IsZero() || c.abort {
		return
	}
	if w, ok := c.w.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = w.SetWriteDeadline(time.Time{})
	}
}
