package gateway

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/internal/llm"
	"gatehouse/internal/reach"
)

// arrival is the body of an upload on its way from the client to the library,
// read on a goroutine of whoever sends it. No more of it is in memory than is
// being moved.
type arrival struct {
	call *call
	most int64

	over atomic.Bool // the call no longer lends its body

	mu    sync.Mutex // held while reading
	n     int64      // bytes that came
	armed int64      // n when the deadline was set
	ended bool       // all of it came
	no    *refusal   // why it ended otherwise, when that is the client's doing
}

// rearm gives the client its time for the next MiB.
func (a *arrival) rearm() {
	a.armed = a.n
	a.call.readDeadline(a.call.g.c.BodyTime)
}

// Read implements [io.Reader].
func (a *arrival) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over.Load() || a.no != nil {
		return 0, errTakenBack
	}
	n, err := a.call.r.Body.Read(p)
	a.n += int64(n)
	switch {
	case a.n > a.most:
		a.no = tooLong(a.most)
		return 0, errTakenBack
	case err == io.EOF:
		a.ended = true
	case err != nil && !a.over.Load():
		a.no = refuse(llm.Invalid, "The body ended before its declared length or came too slowly.").because(err)
	case a.n-a.armed >= 1<<20:
		a.rearm()
	}
	return n, err
}

// Close implements [io.Closer]. The body is the call's to close.
func (a *arrival) Close() error { return nil }

// closeArrival takes the body back. A read that waits for the client is ended:
// net/http would wait for it before it lets the request go. net/http may take
// that for a client that left, so from then on its word counts no more.
func (c *call) closeArrival(a *arrival) {
	if a.over.Swap(true) {
		return
	}
	if !a.mu.TryLock() {
		c.deaf = true
		c.readDeadline(-time.Second)
		a.mu.Lock()
	}
	defer a.mu.Unlock()
	if c.heard = a.ended; c.heard {
		c.readDeadline(0)
		return
	}
	c.closing = true // rather than read the rest
	c.readDeadline(-time.Second)
}

// watched is the context of an upload: the client's, until the body is taken
// back.
func (a *arrival) watched(client context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(client))
	stop := context.AfterFunc(client, func() {
		if !a.over.Load() {
			cancel()
		}
	})
	return ctx, func() { stop(); cancel() }
}

func (c *call) tooLong(most int64) *refusal {
	c.closing = true
	return tooLong(most)
}

func tooLong(most int64) *refusal {
	return refuse(llm.TooLarge, "The body is larger than "+strconv.FormatInt(most, 10)+" bytes.")
}

// base is the URL under which the client reached this gateway. X-Forwarded-Proto
// is believed of the configured proxies alone.
func (c *call) base() string {
	host := c.r.Host
	if host == "" || strings.ContainsFunc(host, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-:[]_", r))
	}) {
		return ""
	}
	secure := c.r.TLS != nil
	if w, ok := c.r.Context().Value(wireKey{}).(*wire); ok && !secure {
		_, secure = w.Conn.(*tls.Conn)
	}
	if at, err := netip.ParseAddrPort(c.r.RemoteAddr); err == nil && !secure && reach.Within(c.g.c.TrustedProxies, at.Addr().Unmap().WithZone("")) {
		secure = c.r.Header.Get("X-Forwarded-Proto") == "https"
	}
	if secure {
		return "https://" + host
	}
	return "http://" + host
}

// messageOf is the text of the library's refusal.
func messageOf(body []byte) string {
	var in struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &in) != nil || in.Message == "" {
		return "internal error"
	}
	return in.Message
}
