package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/reach"
)

const (
	dialTimeout = 10 * time.Second
	// maxIdle bounds the connections kept for an upstream, and idleFor how long
	// one is kept unused: below the 60 s after which common servers close.
	maxIdle = 512
	idleFor = 50 * time.Second
	// What an upstream's record that does not say gets. A model may think for
	// minutes before the head of a plain answer comes.
	defaultHeaderTimeout = 10 * time.Minute
	defaultIdleTimeout   = 5 * time.Minute
)

// link is the way to one upstream as its record stood at one revision. A new
// revision gets a new link; exchanges under way finish on the old one.
type link struct {
	up         *gatehouse.Upstream
	host       string // for the Host header
	name       string // of the host alone
	addr       string // to dial
	prefix     string // path of the base URL, without a slash at its end
	query      string // of the base URL
	header     time.Duration
	idle       time.Duration
	tls        *tls.Config     // nil for http
	transport  *http.Transport // for HTTP/2 and proxies; nil for direct connections
	scheme     string
	dialer     net.Dialer
	credential []string // bare and as Bearer; shared, so that a request allocates none

	mu     sync.Mutex
	free   []*conn         // the most recently used at the end
	http2  *http.Transport // of gRPC; nil until it is needed
	closed bool
}

// newLink reads an upstream's record. Its errors mean that the record cannot be
// used, however often it is tried.
func newLink(up *gatehouse.Upstream) (*link, error) {
	base, err := url.Parse(up.BaseURL)
	if err != nil || base.Host == "" || base.User != nil || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, errors.New("the upstream's base URL is not an http or https URL")
	}
	l := &link{
		up: up, host: base.Host, name: base.Hostname(), addr: base.Host, scheme: base.Scheme, query: base.RawQuery,
		prefix: strings.TrimRight(base.EscapedPath(), "/"),
		header: orDefault(up.HeaderTimeout, defaultHeaderTimeout), idle: orDefault(up.IdleTimeout, defaultIdleTimeout),
		dialer: net.Dialer{Timeout: dialTimeout, Control: reach.Guard(up.AllowPrivate)},
	}
	if base.Port() == "" {
		l.addr = net.JoinHostPort(base.Hostname(), map[string]string{"http": "80", "https": "443"}[base.Scheme])
	}
	if !target(base.RawQuery) || !target(base.Host) {
		return nil, errors.New("the upstream's base URL holds characters that must be escaped")
	}
	if !fieldValue(up.Credential) {
		return nil, errors.New("the upstream's credential cannot stand in a header")
	}
	if up.Credential != "" {
		l.credential = bothWays(up.Credential)
	}
	if base.Scheme == "https" {
		if l.tls, err = tlsConfig(up, base.Hostname()); err != nil {
			return nil, err
		}
	}
	if up.Proxy != "" || up.HTTP == "2" {
		l.transport, err = l.newTransport(up.HTTP == "2")
	}
	return l, err
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

func tlsConfig(up *gatehouse.Upstream, name string) (*tls.Config, error) {
	c := &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if up.CACert != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(up.CACert)) {
			return nil, errors.New("the upstream's CA certificate is not PEM")
		}
	}
	return c, nil
}

// take returns a connection: the most recently used idle one that is still
// open, else a new one. fresh asks for a new one.
func (l *link) take(fresh bool) (*conn, error) {
	for !fresh {
		l.mu.Lock()
		n := len(l.free)
		if n == 0 {
			l.mu.Unlock()
			break
		}
		c := l.free[n-1]
		l.free[n-1], l.free = nil, l.free[:n-1]
		l.mu.Unlock()
		if time.Since(c.rested) < idleFor && (c.turn != nil || c.alive()) {
			c.used = true
			return c, nil
		}
		c.nc.Close()
	}
	return l.dial()
}

// dial connects. It does not watch the client: a connection is of use to the
// next request too.
func (l *link) dial() (*conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	raw, err := l.dialer.DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, err
	}
	if l.tls == nil {
		return newConn(raw, raw), nil
	}
	secure := tls.Client(raw, l.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	return newConn(secure, raw), nil
}

// give takes a connection back after an answer that ended well.
func (l *link) give(c *conn) {
	c.rested = time.Now()
	l.mu.Lock()
	keep := !l.closed && len(l.free) < maxIdle
	if keep {
		l.free = append(l.free, c)
	}
	l.mu.Unlock()
	if !keep {
		c.nc.Close()
	}
}

// sweep closes connections that have rested too long; the oldest come first.
func (l *link) sweep(now time.Time) {
	l.mu.Lock()
	n := 0
	for n < len(l.free) && now.Sub(l.free[n].rested) >= idleFor {
		n++
	}
	old := append([]*conn(nil), l.free[:n]...)
	l.free = append(l.free[:0], l.free[n:]...)
	l.mu.Unlock()
	for _, c := range old {
		c.nc.Close()
	}
	if n > 0 && l.transport != nil {
		l.transport.CloseIdleConnections()
	}
}

// retire closes what is idle now and what becomes idle later.
func (l *link) retire() {
	l.mu.Lock()
	free := l.free
	l.free, l.closed = nil, true
	http2 := l.http2
	l.mu.Unlock()
	for _, c := range free {
		c.nc.Close()
	}
	for _, t := range []*http.Transport{l.transport, http2} {
		if t != nil {
			t.CloseIdleConnections()
		}
	}
}
