package gateway

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"gatehouse/internal/llm"
)

// pooledBody is the size of the buffers that most bodies fit in.
const pooledBody = 16 << 10

var bodyBuffers = sync.Pool{New: func() any { b := make([]byte, pooledBody); return &b }}

// readBody reads the whole body before anything is judged by it. What does not
// fit the cap is 413, what does not fit the memory set aside for all 503.
func (c *call) readBody() *refusal {
	if e := c.r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return refuse(llm.MediaType, "Content-Encoding: send the body as it is, uncompressed.")
	}
	n := c.r.ContentLength
	switch {
	case n == 0:
		return nil
	case n > c.g.c.MaxBody:
		return c.tooLarge()
	}
	c.readDeadline(c.g.c.BodyTime * time.Duration(1+max(n, 0)>>20))
	defer c.readDeadline(0)
	if n < 0 {
		return c.readChunked()
	}
	if !c.charge(n) {
		return c.full()
	}
	c.body = c.buffer(int(n))
	if _, err := io.ReadFull(c.r.Body, c.body); err != nil {
		return c.truncated(err)
	}
	return nil
}

// buffer returns room for a body: pooled when small. Nobody keeps the bytes
// beyond settlement.
func (c *call) buffer(n int) []byte {
	if n > pooledBody {
		return make([]byte, n)
	}
	c.pooled = bodyBuffers.Get().(*[]byte)
	return (*c.pooled)[:n]
}

// readChunked reads a body of unknown length, charging the budget as it grows.
func (c *call) readChunked() *refusal {
	c.body = c.buffer(pooledBody)[:0]
	if !c.charge(pooledBody) {
		return c.full()
	}
	for {
		if len(c.body) == cap(c.body) {
			if int64(len(c.body)) > c.g.c.MaxBody {
				return c.tooLarge()
			}
			if !c.charge(int64(cap(c.body))) {
				return c.full()
			}
			grown := make([]byte, len(c.body), 2*cap(c.body))
			copy(grown, c.body)
			c.body = grown
		}
		n, err := c.r.Body.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		switch {
		case int64(len(c.body)) > c.g.c.MaxBody:
			return c.tooLarge()
		case err == io.EOF:
			return nil
		case err != nil:
			return c.truncated(err)
		}
	}
}

// charge takes n bytes of what all bodies in flight may hold together.
func (c *call) charge(n int64) bool {
	if c.g.bodies.Add(n) > c.g.c.MaxBodies {
		c.g.bodies.Add(-n)
		return false
	}
	c.charged += n
	return true
}

// dropBody gives the memory back. The body is not to be used after it.
func (c *call) dropBody() {
	if c.pooled != nil {
		bodyBuffers.Put(c.pooled)
	}
	c.g.bodies.Add(-c.charged)
	c.body, c.pooled, c.charged = nil, nil, 0
}

// readDeadline bounds how slowly a body may come; 0 takes the bound away, since
// the server's watch for a leaving client would else end with it.
func (c *call) readDeadline(d time.Duration) {
	w, ok := c.w.(interface{ SetReadDeadline(time.Time) error })
	if !ok {
		return
	}
	if d == 0 {
		_ = w.SetReadDeadline(time.Time{})
		return
	}
	_ = w.SetReadDeadline(time.Now().Add(d))
}

func (c *call) tooLarge() *refusal {
	c.w.Header().Set("Connection", "close") // rather than read the rest
	return refuse(llm.TooLarge, "The body is larger than "+strconv.FormatInt(c.g.c.MaxBody, 10)+" bytes.")
}

func (c *call) full() *refusal {
	return refuse(llm.NotReady, "Too many request bodies are in flight. Please retry.").wait(time.Second)
}

func (c *call) truncated(err error) *refusal {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return c.tooLarge()
	}
	c.w.Header().Set("Connection", "close")
	return refuse(llm.Invalid, "The body ended before its declared length or came too slowly.").because(err)
}
