package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"gatehouse/internal/gateway"
)

// Bounds of every listener. There is no total timeout: a stream lasts as long
// as its model speaks, and a body as long as its client sends within ReadTimeout's
// stand-in, the gateway's own idle rules.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	restTimeout   = 5 * time.Second // of a body that the answer did not wait for
	maxHeader     = 64 << 10
)

// listener is one address with what answers there.
type listener struct {
	name   string
	server *http.Server
	socket net.Listener
}

// listen opens the address at once, so that a taken port stops the start.
func (c *Config) listen(name, addr string, h http.Handler, secure bool) (*listener, error) {
	socket, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC beside REST on loopback; over TLS too, whose end the server does not see
	srv := &http.Server{Handler: hurried(h, restTimeout), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, Protocols: protocols, ConnContext: gateway.ConnContext}
	if secure && c.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: tls_cert and tls_key: %w", name, err), socket.Close())
		}
		socket = tls.NewListener(socket, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
	}
	return &listener{name: name, server: srv, socket: gateway.Listen(socket)}, nil
}

// hurried bounds what is left of a body once its handler is done. net/http reads
// some of it before the answer leaves, and again behind it, both as slowly as it
// comes: whoever was refused could hold the connection for ever.
func hurried(h http.Handler, rest time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && r.ContentLength != 0 {
			defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(rest)) }()
		}
		h.ServeHTTP(w, r)
	})
}

// run serves until stop, and reports what else ended it.
func (l *listener) run() error {
	if err := l.server.Serve(l.socket); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return nil
}

// stop lets running requests end within ctx, then cuts them.
func (l *listener) stop(ctx context.Context) error {
	if err := l.server.Shutdown(ctx); err != nil {
		return l.server.Close()
	}
	return nil
}
