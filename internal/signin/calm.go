package signin

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// calm answers a repeated question with what was answered a moment ago. An ID
// token with an unknown key makes the verifier fetch the provider's keys, and
// anybody can send such tokens: without it each would be a request to the
// provider. Questions that carry a credential are asked every time.
type calm struct {
	next http.RoundTripper
	now  func() time.Time
	mu   sync.Mutex
	kept map[string]answer
}

type answer struct {
	at   time.Time
	head http.Response // without its body
	body []byte
}

// How long an answer is good for, which a new key of the provider may have to
// wait, and how much of one is kept: metadata and keys are a few KB.
const (
	calmFor = 5 * time.Second
	maxKept = 1 << 20
)

// RoundTrip implements http.RoundTripper.
func (c *calm) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || r.Header.Get("Authorization") != "" {
		return c.next.RoundTrip(r)
	}
	c.mu.Lock()
	defer c.mu.Unlock() // while one asks, the others wait for its answer
	url := r.URL.String()
	a, known := c.kept[url]
	if !known || c.now().Sub(a.at) >= calmFor {
		got, err := c.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(io.LimitReader(got.Body, maxKept))
		got.Body.Close()
		if err != nil {
			return nil, err
		}
		a = answer{at: c.now(), head: *got, body: body}
		c.kept[url] = a
	}
	out := a.head
	out.Request, out.Body = r, io.NopCloser(bytes.NewReader(a.body))
	return &out, nil
}
