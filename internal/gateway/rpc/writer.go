package rpc

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

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

// pass sends what the data of one frame says.
func (c *call) pass(data []byte) error {
	out, err := c.next(data)
	if err != nil || out == nil {
		return err
	}
	c.gone = c.ss.SendMsg(out)
	return c.gone
}

// FlushError keeps the gateway from calling each write unflushed: messages leave
// when they are sent.
func (c *call) FlushError() error { return nil }

// end is the status of a call, after the last of its messages. The first reason
// that is known for certain counts.
func (c *call) end(aborted bool) error {
	switch {
	case c.blamed:
		return statusOf(c.mistake)
	case c.isRefused:
		return refusalStatus(c.fault, c.message, c.after)
	case c.failed != nil:
		return statusOf(c.failed)
	case c.ss.Context().Err() != nil:
		return status.FromContextError(c.ss.Context().Err()).Err()
	case aborted:
		return status.Error(codes.Unavailable, "The answer broke off.")
	case c.status >= 300:
		return upstreamStatus(c.status, c.body)
	case c.streams():
		return nil
	case c.next != nil:
		return refusalStatus(llm.UpstreamFailed, "The upstream provider answered with something that is not a stream.", 0)
	}
	out, err := c.m.whole(c.in, c.body)
	if err != nil {
		return refusalStatus(llm.UpstreamFailed, "The upstream provider answered with something that is not an answer.", 0)
	}
	return c.ss.SendMsg(out)
}

// errNoAnswer is JSON that has not the members of an answer.
var errNoAnswer = errors.New("not an answer")
