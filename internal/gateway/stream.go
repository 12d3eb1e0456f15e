package gateway

import (
	"bytes"
	"io"
	"runtime"

	"gatehouse"
	"gatehouse/internal/llm"
)

// relayStream passes an answer on as it comes: whatever could be read at once
// goes out in one write and one flush. frames is nil for what has none, such as
// speech.
func (c *call) relayStream(x *exchange, buf []byte, frames *gate) *refusal {
	drained := int64(0)
	for {
		// Others first: under load more of this stream has arrived by the time it
		// is this goroutine's turn again, and one write does for several frames.
		// Without load this returns at once.
		runtime.Gosched()
		n, err := x.Read(buf)
		c.last = err == io.EOF
		if n > 0 {
			if no := c.pass(x, frames, buf[:n]); no != nil {
				return c.breakOff(no, frames)
			}
		}
		if err == io.EOF {
			return c.endStream(x, frames)
		}
		if err != nil {
			return c.breakOff(c.brokeOff(err), frames)
		}
		if c.gone {
			if drained += int64(n); c.drained(drained) {
				return nil
			}
		}
	}
}

// drained says when to stop reading for a client that has gone.
func (c *call) drained(n int64) bool { return !c.route.Metered || n > c.g.c.DrainBytes }

// pass takes the next bytes of a stream through the tap to the client.
func (c *call) pass(x *exchange, frames *gate, p []byte) *refusal {
	if c.tap != nil {
		p = c.tap.Write(p)
		if no := c.bind(); no != nil {
			return no
		}
		c.post()
	}
	if frames != nil {
		p = frames.whole(p)
	}
	c.emit(x, p)
	return nil
}

// emit writes and flushes, unless the client has gone.
func (c *call) emit(x *exchange, p []byte) {
	if len(p) == 0 || c.left() {
		return
	}
	if c.status == 0 {
		c.headOf(x, -1)
	}
	c.writeDeadline()
	err := c.write(p)
	if err == nil && !c.direct {
		err = c.flush()
	}
	c.gone = c.gone || err != nil
}

// post tells the limits and the journal how much has flowed. A stream that runs
// over tpm goes on; the next request is refused while it does.
func (c *call) post() {
	n := c.tap.Streamed()
	if n <= c.posted {
		return
	}
	if c.ticket != nil {
		c.ticket.Post(c.now(), n-c.posted)
	}
	if c.entry != nil {
		c.entry.Progress(n)
	}
	c.posted = n
}

// endStream judges a stream that ended as its framing says. What a model wrote
// is complete only when it also said so itself.
func (c *call) endStream(x *exchange, frames *gate) *refusal {
	var rest []byte
	if c.tap != nil {
		rest = c.tap.Finish()
		if no := c.bind(); no != nil {
			return c.breakOff(no, frames)
		}
		r := c.tap.Result()
		if !r.Terminal && r.StreamError == "" {
			return c.breakOff(c.brokeOff(io.ErrUnexpectedEOF), frames)
		}
		if r.StreamError != "" {
			c.outcome, c.detail = gatehouse.Failed, "the stream ended in an error"
		}
	}
	if frames != nil {
		rest = append(frames.carry, rest...)
	}
	c.emit(x, rest)
	if c.status == 0 && !c.left() {
		c.headOf(x, -1)
	}
	return nil
}

// breakOff ends a stream that must not look complete: an error event after the
// last whole frame, then a connection that breaks. What came of a further frame
// stays here, so that the event is well-formed.
func (c *call) breakOff(no *refusal, frames *gate) *refusal {
	if no == nil || c.status == 0 || c.left() {
		return no
	}
	c.abort = true
	if frames == nil {
		return no
	}
	c.last = false
	if c.write(llm.ErrorFrame(c.style, no.fault, no.message, c.requestID)) == nil && !c.direct {
		_ = c.flush()
	}
	return no
}

// gate lets whole SSE frames through and keeps the beginning of the next.
type gate struct{ carry []byte }

// maxCarry is when a frame is too large to be kept: it passes in pieces.
const maxCarry = 1 << 20

// whole returns the whole frames in what was kept and p. The result is valid
// until the next call.
func (g *gate) whole(p []byte) []byte {
	end := lastFrame(p)
	if len(g.carry) == 0 {
		if end < len(p) {
			g.carry = append(g.carry, p[end:]...)
		}
		return p[:end]
	}
	// The blank line that ends a frame may lie across the two pieces.
	all := append(g.carry, p...)
	end = lastFrame(all)
	if len(all)-end > maxCarry {
		end = len(all)
	}
	out := all[:end]
	g.carry = append([]byte(nil), all[end:]...)
	return out
}

// lastFrame is where the last whole frame of p ends.
func lastFrame(p []byte) int {
	if bytes.HasSuffix(p, []byte("\n\n")) {
		return len(p)
	}
	end := bytes.LastIndex(p, []byte("\n\n")) + 2
	if end < 2 {
		end = 0
	}
	if bytes.IndexByte(p[end:], '\r') < 0 {
		return end
	}
	for _, blank := range []string{"\r\n\r\n", "\r\r", "\n\r\n"} {
		if i := bytes.LastIndex(p, []byte(blank)); i >= 0 {
			end = max(end, i+len(blank))
		}
	}
	return end
}
