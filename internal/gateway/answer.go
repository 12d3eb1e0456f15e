package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// field is one line of a response's header.
type field struct{ name, value string }

// How an answer leaves.
//
// Through net/http's ResponseWriter a header is put into a map, which is cloned,
// sorted and checked: with the nine lines that every answer has here a seventh
// of what a request costs. So an answer over HTTP/1.1 whose request was read to
// its end is written by the call itself, head and body at once, and the empty
// answer that net/http then thinks it owes is dropped by the wire. net/http still
// decides everything else: what a request is, and whether the connection is kept.
// Whatever is not that usual case (HTTP/1.0, HTTP/2, HEAD, a connection that is
// to close, also because the server is going, a body left unread) goes the usual
// way.

// mayDirect says whether this answer may be written by the call itself.
func (c *call) mayDirect() bool {
	r := c.r
	return c.wire != nil && r.ProtoMinor == 1 && c.heard && !c.closing && !r.Close && !c.wire.from.closed.Load() &&
		r.Method != http.MethodHead && r.Method != http.MethodConnect && r.Header["Expect"] == nil && r.Header["Upgrade"] == nil
}

// set puts one response header, which must be in canonical form.
func (c *call) set(name, value string) {
	for i := range c.fields {
		if c.fields[i].name == name {
			c.fields[i].value = value
			return
		}
	}
	c.fields = append(c.fields, field{name, value})
}

// writeHead begins the answer. length is that of its body; -1 when nobody knows.
func (c *call) writeHead(status int, length int64) {
	c.status = status
	if status == http.StatusNoContent {
		length = 0
	}
	if c.direct = c.mayDirect(); c.direct {
		c.owed, c.chunked = length, length < 0
		c.wire.out = c.appendHead(c.wire.out[:0])
		return
	}
	h := c.w.Header()
	for _, f := range c.fields {
		h[f.name] = append(h[f.name], f.value)
	}
	if length >= 0 && status != http.StatusNoContent {
		h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	if c.closing {
		h["Connection"] = []string{"close"}
	}
	c.w.WriteHeader(status)
}

func (c *call) appendHead(b []byte) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(c.status), 10)
	b = append(append(b, ' '), http.StatusText(c.status)...)
	for _, f := range c.fields {
		if strings.IndexByte(f.value, '\n') >= 0 || strings.IndexByte(f.value, '\r') >= 0 {
			continue // nobody here makes one, and whoever will must not split an answer
		}
		b = append(append(append(append(b, "\r\n"...), f.name...), ": "...), f.value...)
	}
	b = append(append(b, "\r\nDate: "...), c.g.date.at(c.start)...)
	switch {
	case c.chunked:
		b = append(b, "\r\nTransfer-Encoding: chunked"...)
	case c.status != http.StatusNoContent:
		b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), c.owed, 10)
	}
	return append(b, "\r\n\r\n"...)
}

// lingering is up to which size an answer waits for the settlement, as it would
// in net/http's buffer: whoever has the answer finds the request settled.
const lingering = 4 << 10

// write writes a piece of the body.
func (c *call) write(p []byte) error {
	if !c.direct {
		_, err := c.w.Write(p)
		return err
	}
	out := c.wire.out
	if c.chunked {
		out = strconv.AppendInt(out, int64(len(p)), 16)
		out = append(append(append(out, "\r\n"...), p...), "\r\n"...)
	} else {
		if c.owed -= int64(len(p)); c.owed < 0 {
			return errLonger
		}
		out = append(out, p...)
	}
	c.wire.out = out
	if c.chunked && c.last || !c.chunked && len(out) <= lingering {
		return nil // leaves with the end
	}
	return c.flush()
}

// errLonger keeps what an upstream sent beyond its declared length from being
// read as the next answer.
var errLonger = errors.New("the body is longer than declared")

// flush sends what was written.
func (c *call) flush() error {
	if !c.direct {
		if f, ok := c.w.(interface{ FlushError() error }); ok {
			return f.FlushError()
		}
		return nil
	}
	if len(c.wire.out) == 0 {
		return nil
	}
	_, err := c.wire.write(c.wire.out)
	c.wire.out = c.wire.out[:0]
	return err
}

// end sends the rest of an answer that the call writes itself, once all else is
// done, and says to the wire what net/http will write into it. An answer shorter
// than declared breaks the connection, and so does a client that has gone: it may
// only have closed its half, and must not read an end where none is, nor the
// empty 200 of a handler that wrote nothing.
func (c *call) end() {
	c.abort = c.abort || c.gone
	if !c.direct || c.abort {
		return
	}
	if c.chunked {
		c.wire.out = append(c.wire.out, "0\r\n\r\n"...)
	}
	if c.flush() != nil || c.owed > 0 {
		c.abort = true
		return
	}
	c.wire.answered()
}

// clock is the Date header, formatted once a second.
type clock struct{ now atomic.Pointer[date] }

func (k *clock) at(t time.Time) string {
	second := t.Unix()
	if d := k.now.Load(); d != nil && d.second == second {
		return d.text
	}
	d := &date{second, t.UTC().Format(http.TimeFormat)}
	k.now.Store(d)
	return d.text
}

type date struct {
	second int64
	text   string
}
