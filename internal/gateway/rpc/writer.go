package rpc

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"gatehouse"
	"gatehouse/internal/llm"
)

// Header implements [http.ResponseWriter].
func (c *call) Header() http.Header { return c.header }

// Refuse is told by the gateway why its answer is an error of its own.
func (c *call) Refuse(f llm.Fault, message string, after time.Duration) {
	c.isRefused, c.fault, c.message, c.after = true, f, message, after
}

// WriteHeader implements [http.ResponseWriter]: the headers that mean something
// in a call go out with its first message.
func (c *call) WriteHeader(status int) {
	c.status = status
	c.forget() // nobody is asked again
	md := metadata.MD{}
	for name, values := range c.header {
		if name == "X-Request-Id" || name == "Retry-After" || strings.HasPrefix(name, "X-Ratelimit-") {
			md.Append(name, values...)
		}
	}
	_ = c.ss.SetHeader(md) // fails when the client is gone
}

// Write implements [http.ResponseWriter]. An error means, to the gateway, that
// the client has gone; what an upstream does wrong is none.
func (c *call) Write(p []byte) (int, error) {
	switch {
	case c.isRefused, c.failed != nil: // what it says is known, or nobody can read it
	case c.streams():
		c.failed = c.frames.split(p, c.pass)
	case c.pieces():
		c.cut(p)
	case c.original != nil && c.original.spoke: // the message is there, and was bounded
	case len(c.body)+len(p) > maxMessage:
		c.failed = status.Errorf(codes.ResourceExhausted, "The answer is larger than %d bytes.", maxMessage)
	default:
		c.body = append(c.body, p...)
	}
	return len(p), c.gone
}

// streams says whether what is written are the frames of a stream.
func (c *call) streams() bool {
	return c.next != nil && c.status < 300 && strings.HasPrefix(c.header.Get("Content-Type"), "text/event-stream")
}

// pieceSize is the size of the messages that bytes are sent in. xAI's are at
// most 5 MB; smaller ones keep less of a slow client here.
const pieceSize = 1 << 20

// pieces says whether what is written are bytes to be sent as they come.
func (c *call) pieces() bool { return c.m.piece != nil && c.status < 300 }

// cut sends the bytes that are enough for a message.
func (c *call) cut(p []byte) {
	c.wrote += int64(len(p))
	for len(p) > 0 && c.gone == nil {
		n := min(len(p), pieceSize-len(c.body))
		c.body, p = append(c.body, p[:n]...), p[n:]
		if len(c.body) == pieceSize {
			c.flush()
		}
	}
}

// flush sends what is left of them. The library has encoded a message when it
// has taken it.
func (c *call) flush() {
	if len(c.body) > 0 && c.gone == nil {
		c.gone = c.ss.SendMsg(c.m.piece(c.body))
		c.body = c.body[:0]
	}
}

// complete says whether an answer in pieces is all there, as far as that is known.
func (c *call) complete() bool {
	n, err := strconv.ParseInt(c.header.Get("Content-Length"), 10, 64)
	return err != nil || n == c.wrote
}

// pass sends what the data of one frame says.
func (c *call) pass(data []byte) error {
	out, err := c.asItCame(), error(nil)
	if out == nil {
		out, err = c.next(data)
	}
	if err != nil || out == nil {
		return err
	}
	c.gone = c.ss.SendMsg(out)
	return c.gone
}

// FlushError keeps the gateway from calling each write unflushed: messages leave
// when they are sent.
func (c *call) FlushError() error { return nil }

// outweighs says whether a message's mistake is the reason for an answer that
// was given without it: to a request that says less than was meant.
func (c *call) outweighs() bool {
	if c.mistake == nil || !c.isRefused {
		return c.mistake != nil
	}
	switch c.fault {
	case llm.Missing, llm.Invalid, llm.MethodNotAllowed, llm.MediaType:
		return true
	}
	return false
}

// end is the status of a call, after the last of its messages. The first reason
// that is known for certain counts.
func (c *call) end(aborted bool) error {
	if c.upload != nil {
		c.upload.close()
	}
	switch {
	case c.blamed, c.outweighs():
		return statusOf(c.mistake)
	case c.original != nil && c.original.unsaid != nil && c.message == gatehouse.Public(c.original.unsaid):
		return statusOf(c.original.unsaid) // no upstream takes it as it came
	case c.isRefused:
		return refusalStatus(c.fault, c.message, c.after)
	case c.failed != nil:
		return statusOf(c.failed)
	case c.ss.Context().Err() != nil:
		return status.FromContextError(c.ss.Context().Err()).Err()
	case aborted, c.pieces() && !c.complete():
		return status.Error(codes.Unavailable, "The answer broke off.")
	case c.status >= 300:
		return upstreamStatus(c.status, c.body)
	case c.streams():
		return nil
	case c.pieces():
		c.flush()
		return c.gone
	case c.next != nil:
		return refusalStatus(llm.UpstreamFailed, "The upstream provider answered with something that is not a stream.", 0)
	}
	out, err := c.asItCame(), error(nil)
	if out == nil {
		out, err = c.m.whole(c.in, c.body)
	}
	if err != nil {
		return refusalStatus(llm.UpstreamFailed, "The upstream provider answered with something that is not an answer.", 0)
	}
	return c.ss.SendMsg(out)
}

// errNoAnswer is JSON that has not the members of an answer.
var errNoAnswer = errors.New("not an answer")
