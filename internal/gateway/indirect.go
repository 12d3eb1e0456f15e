package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/internal/reach"
)

// pingAfter is how long a connection of HTTP/2 may be silent, and then how long it
// may not answer: all requests share one, and one that died silently would take
// each with it until its header timeout.
const pingAfter = 15 * time.Second

// newTransport makes the way through http.Transport, for what a connection made
// by hand does not do: HTTP/2 and proxies.
func (l *link) newTransport(http2 bool) (*http.Transport, error) {
	up := l.up
	t := &http.Transport{
		DialContext:        l.dialer.DialContext,
		DisableCompression: true, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleFor,
		MaxResponseHeaderBytes: maxHead, TLSHandshakeTimeout: dialTimeout, Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter},
	}
	t.Protocols.SetHTTP1(!http2)
	if http2 {
		t.Protocols.SetHTTP2(true)
		t.Protocols.SetUnencryptedHTTP2(l.tls == nil)
	}
	if l.tls != nil {
		t.TLSClientConfig = l.tls.Clone()
		t.TLSClientConfig.NextProtos = nil // the transport's own choice
	}
	if up.Proxy != "" {
		proxy, err := url.Parse(up.Proxy)
		if err != nil || proxy.Host == "" {
			return nil, errors.New("the upstream's proxy is not a URL")
		}
		if reach.ForbiddenHost(l.name, up.AllowPrivate) {
			return nil, reach.ErrForbidden
		}
		t.Proxy = http.ProxyURL(proxy)
		// The operator named the proxy, which usually stands on a private address;
		// what the proxy resolves is the proxy's to guard.
		t.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return t, nil
}

// sendIndirect sends o through the transport.
func (x *exchange) sendIndirect(o *order) *lost {
	// RoundTrip and not a Client: a Client would follow redirects.
	return x.sendThrough(x.link.scheme+"://"+x.link.host+string(x.link.appendTarget(nil, o)), o, x.link.transport.RoundTrip)
}

// sendThrough sends o to a URL by what ends in a transport. Its deadlines are a
// timer that cancels, since a transport has none of its own on reading a body.
func (x *exchange) sendThrough(url string, o *order, roundTrip func(*http.Request) (*http.Response, error)) *lost {
	ctx, cancel := context.WithCancel(context.Background())
	expired := new(atomic.Bool)
	timer := time.AfterFunc(x.link.header, func() {
		expired.Store(true)
		cancel()
	})
	x.cancel = func() { timer.Stop(); cancel() }
	x.expired = expired
	x.mu.Lock()
	x.timer = timer
	x.mu.Unlock()
	x.setDeadline(time.Now().Add(x.link.header))
	var reached atomic.Bool // a connection stands: TLS and the choice of HTTP/2 are behind it
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { reached.Store(true) }, WroteHeaders: func() { reached.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, o.method, url, http.NoBody)
	if err != nil {
		x.releaseIndirect()
		return lose(false, err)
	}
	if len(o.body) > 0 {
		x.lent = &lent{bytes: o.body}
		req.ContentLength, req.GetBody = int64(len(o.body)), x.lent.reader
		req.Body, _ = x.lent.reader()
	}
	req.Header = o.header.Clone()
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := roundTrip(req)
	if err != nil {
		gone := lose(reached.Load(), err)
		gone.timeout = gone.timeout || x.expired.Load()
		x.releaseIndirect()
		return gone
	}
	x.response, x.status, x.header, x.length, x.done = resp, resp.StatusCode, resp.Header, resp.ContentLength, false
	x.armed = time.Time{}
	return nil
}

func (x *exchange) readIndirect(p []byte) (int, error) {
	n, err := x.response.Body.Read(p)
	if err != nil && err != io.EOF && x.expired.Load() {
		err = errIdle
	}
	return n, err
}

func (x *exchange) releaseIndirect() {
	if x.cancel == nil {
		return
	}
	x.lent.takeBack()
	x.mu.Lock()
	x.timer = nil
	x.mu.Unlock()
	if x.response != nil {
		if !x.done {
			x.cancel() // before Close, which would else read on
		}
		x.response.Body.Close()
	}
	x.cancel()
	x.response, x.cancel, x.lent = nil, nil, nil
}

// lent is a request's body in the hands of a transport, which may go on sending
// it after its answer has come. The memory is another request's by then: what
// was taken back is not read any more.
type lent struct {
	mu    sync.Mutex
	bytes []byte
}

func (l *lent) takeBack() {
	if l != nil {
		l.mu.Lock()
		l.bytes = nil
		l.mu.Unlock()
	}
}

// reader begins at the beginning, for a transport that tries again.
func (l *lent) reader() (io.ReadCloser, error) { return io.NopCloser(&lentReader{lent: l}), nil }

type lentReader struct {
	lent *lent
	at   int
}

// Read implements [io.Reader]. It copies under the lock, so there is no WriteTo.
func (r *lentReader) Read(p []byte) (int, error) {
	r.lent.mu.Lock()
	defer r.lent.mu.Unlock()
	switch {
	case r.lent.bytes == nil:
		return 0, errTakenBack
	case r.at == len(r.lent.bytes):
		return 0, io.EOF
	}
	n := copy(p, r.lent.bytes[r.at:])
	r.at += n
	return n, nil
}

var errTakenBack = errors.New("the request has ended, and its body with it")

// errIdle is the timeout of the indirect way.
var errIdle error = idleError{}

type idleError struct{}

func (idleError) Error() string   { return "the upstream was silent for too long" }
func (idleError) Timeout() bool   { return true }
func (idleError) Temporary() bool { return false }
