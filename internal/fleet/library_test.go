package fleet

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/assertion"
)

// node2 serves HTTP/2 in the clear, as control does on loopback.
func node2(t *testing.T, h http.Handler) string {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}

// nobody is an address where no node is.
func nobody(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func asking(t *testing.T, urls ...string) *Client {
	gateway := gatehouse.NewID()
	id := &Identity{Gateway: gateway, credential: gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Member, gateway)}
	c, err := New(Config{Control: urls, Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func upload(t *testing.T, body io.Reader) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), "POST", "/v1/files?x=%20y", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/plain")
	return r
}

var said = assertion.Assertion{Team: gatehouse.ID{1}, Key: gatehouse.ID{2}, RequestID: "r-1", Limit: 100}

// A gateway shows the library an assertion of exactly this request and no
// credential, and goes on to the node that is there.
func TestTheLibraryIsAskedOnANodeThatIsThere(t *testing.T) {
	var c *Client
	there := node2(t, http.StripPrefix(LibraryPrefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		digest := c.id.credential.Digest()
		a, err := assertion.Open(r.Header.Get(assertion.Header), time.Now(), func(id gatehouse.ID) ([]byte, error) {
			if id != c.id.Gateway {
				return nil, errors.New("another gateway")
			}
			return digest[:], nil
		})
		if err == nil {
			err = a.For(r.Method, r.URL.RequestURI())
		}
		if err != nil || a.Team != said.Team || a.Key != said.Key || a.RequestID != "r-1" || r.Header.Get("Authorization") != "" {
			t.Errorf("%+v %v %v", a, err, r.Header)
		}
		_, _ = io.Copy(w, r.Body)
	})))
	c = asking(t, nobody(t), there)
	for range 2 {
		resp, err := c.Ask(upload(t, strings.NewReader("the whole body")), said)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || string(body) != "the whole body" {
			t.Error(resp.StatusCode, string(body))
		}
	}
}

// Half of a body is not sent twice: what it did the first time nobody knows.
func TestABodyThatWasBegunIsNotSentAgain(t *testing.T) {
	var asked atomic.Int64
	breaks := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = r.Body.Read(make([]byte, 1))
		panic(http.ErrAbortHandler)
	})
	c := asking(t, node2(t, breaks), node2(t, breaks))
	if _, err := c.Ask(upload(t, strings.NewReader("body")), said); !errors.Is(err, gatehouse.Unavailable) || asked.Load() != 1 {
		t.Error(err, asked.Load())
	}
	c = asking(t, nobody(t), nobody(t))
	if _, err := c.Ask(upload(t, strings.NewReader("body")), said); !errors.Is(err, gatehouse.Unavailable) {
		t.Error(err)
	}
}
