package gateway

import (
	"errors"
	"io"
	"math/bits"
	"net/http"
	"strconv"
	"sync"
	"time"

	"gatehouse/internal/llm"
)

// Buffers for bodies come from pools of powers of two, from smallBody, which
// most bodies fit in, to largeBody; a megabyte made anew for each request would
// cost more than forwarding it.
const (
	smallBody   = 2 << 10
	bodyClasses = 12
	largeBody   = smallBody << (bodyClasses - 1) // 4 MiB
)

// pools are the memory that requests share one after the other.
type pools struct {
	bodies  [bodyClasses]sync.Pool // *[]byte
	chunks  sync.Pool              // *[]byte of wholeAnswer
	taps    sync.Pool              // *llm.Tap
	headers sync.Pool              // http.Header, empty
}

func (p *pools) init() {
	p.chunks.New = func() any { b := make([]byte, wholeAnswer); return &b }
	p.taps.New = func() any { return new(llm.Tap) }
	p.headers.New = func() any { return make(http.Header, 16) }
}

// bodyClass is the pool whose buffers hold n bytes; bodyClasses when none do.
func bodyClass(n int) int { return min(bits.Len(uint(max(n-1, 0)/smallBody)), bodyClasses) }

// readBody reads the whole body before anything is judged by it. What does not
// fit the cap is 413, what does not fit the memory set aside for all 503.
func (c *call) readBody() *refusal {
	if e := c.r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return refuse(llm.MediaType, "Content-Encoding: send the body as it is, uncompressed.")
	}
	n := c.r.ContentLength
	switch {
	case n == 0:
		c.heard = true
		return nil
	case n > c.g.c.MaxBody:
		return c.tooLarge()
	}
	c.readDeadline(c.g.c.BodyTime * time.Duration(1+max(n, 0)>>20))
	defer c.readDeadline(0)
	if n < 0 {
		return c.readChunked()
	}
	if !c.grow(int(n)) {
		return c.full()
	}
	c.body = c.body[:n]
	c.hush(true)
	if _, err := io.ReadFull(c.r.Body, c.body); err != nil {
		return c.truncated(err)
	}
	c.heard = true
	return nil
}

// grow makes room for n bytes in all, keeping what was read, and reports
// whether the budget allows it.
func (c *call) grow(n int) bool {
	class, size := bodyClass(n), n
	if class < bodyClasses {
		size = smallBody << class
	}
	if !c.charge(int64(size) - c.charged) {
		return false
	}
	var fresh *[]byte
	if class < bodyClasses {
		fresh, _ = c.g.pools.bodies[class].Get().(*[]byte)
	}
	if fresh == nil {
		b := make([]byte, size)
		fresh = &b
	}
	kept := (*fresh)[:copy(*fresh, c.body)]
	c.recycle()
	c.pooled, c.body = fresh, kept
	return true
}

// readChunked reads a body of unknown length, charging the budget as it grows.
func (c *call) readChunked() *refusal {
	for {
		if have := cap(c.body); len(c.body) == have {
			if !c.grow(max(smallBody, 2*have)) {
				return c.full()
			}
			if have >= 1<<20 { // as long again per MiB, as for a declared length
				c.readDeadline(c.g.c.BodyTime * time.Duration(have>>20))
			}
		}
		n, err := c.r.Body.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		switch {
		case int64(len(c.body)) > c.g.c.MaxBody:
			return c.tooLarge()
		case err == io.EOF:
			c.heard = true
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
	c.recycle()
	c.g.bodies.Add(-c.charged)
	c.body, c.charged = nil, 0
}

func (c *call) recycle() {
	if c.pooled != nil && len(*c.pooled) <= largeBody {
		c.g.pools.bodies[bodyClass(len(*c.pooled))].Put(c.pooled)
	}
	c.pooled = nil
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
	c.closing = true // rather than read the rest
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
	c.closing = true
	return refuse(llm.Invalid, "The body ended before its declared length or came too slowly.").because(err)
}
