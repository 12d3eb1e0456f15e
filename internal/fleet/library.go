package fleet

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/library/assertion"
)

// LibraryPrefix is where control serves the library to its gateways.
const LibraryPrefix = "/fleet/library"

// Ask sends a request to the library on control, as this gateway asserts it. The
// signature's key is the digest of the gateway's credential, which control has in
// its record of the member; the credential itself is not shown.
//
// It has no time limit of its own, since files may be large: whoever asks ends it
// by the request's context. A node that is not there is passed over as long as
// nothing of the body was read.
func (c *Client) Ask(r *http.Request, a assertion.Assertion) (*http.Response, error) {
	key := c.id.credential.Digest()
	target := r.URL.RequestURI()
	a.Gateway, a.Method, a.Target = c.id.Gateway, r.Method, target
	body := &begun{ReadCloser: r.Body}
	var last error
	for range c.bulk.list {
		to := c.bulk.now()
		out, err := http.NewRequestWithContext(r.Context(), r.Method, to.url+LibraryPrefix+target, nil)
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.Internal, "the way to the library is no URL").Because(err)
		}
		a.Expire = time.Now().Add(assertion.Life)
		out.Header = r.Header.Clone()
		out.Header.Set(assertion.Header, assertion.Sign(key[:], a))
		if r.Body != nil && r.Body != http.NoBody {
			out.Body, out.ContentLength = body, r.ContentLength
		}
		resp, err := c.bulk.transport.RoundTrip(out)
		if err == nil {
			return resp, nil
		}
		last = err
		if r.Context().Err() != nil || body.read.Load() {
			break
		}
		c.bulk.failed(to)
	}
	return nil, gatehouse.Errorf(gatehouse.Unavailable, "the library is not to be reached").Because(last)
}

// begun is a body that knows whether any of it was asked for. Closing it is left
// to whoever lent it: a transport closes what it could not send, and the next
// node is to get it.
type begun struct {
	io.ReadCloser
	read atomic.Bool
}

// Read implements [io.Reader].
func (b *begun) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.ReadCloser.Read(p)
}

// Close implements [io.Closer].
func (b *begun) Close() error { return nil }
