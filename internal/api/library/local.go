package library

import (
	"net/http"
	"time"

	"gatehouse"
	"gatehouse/internal/inside"
	"gatehouse/internal/library/assertion"
)

// Local is a gateway's way to a library in the same process: what is asked goes
// through a connection in memory, so that a body flows, a client that leaves and
// an answer that breaks off are just what they are between two machines. Close
// it.
type Local struct {
	key     []byte
	gateway gatehouse.ID
	now     func() time.Time
	server  *inside.Server
}

// NewLocal serves a handler to one gateway, whose key its Keys must return too.
func NewLocal(handler http.Handler, key []byte, gateway gatehouse.ID, now func() time.Time) *Local {
	return &Local{key: key, gateway: gateway, now: now, server: inside.Serve(handler)}
}

// Ask sends a request to the library as the gateway asserts it.
func (l *Local) Ask(r *http.Request, a assertion.Assertion) (*http.Response, error) {
	a.Gateway, a.Method, a.Target, a.Expire = l.gateway, r.Method, r.URL.RequestURI(), l.now().Add(assertion.Life)
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.Host = "http", "library", "library"
	out.Header.Set(assertion.Header, assertion.Sign(l.key, a))
	resp, err := l.server.RoundTrip(out)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Unavailable, "the library is not to be reached").Because(err)
	}
	return resp, nil
}

// Close breaks off what is under way.
func (l *Local) Close() error { return l.server.Close() }
