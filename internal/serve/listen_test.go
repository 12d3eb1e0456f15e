package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Whoever is refused with half a body sent is answered, and let go.
func TestARefusedBodyHoldsNoConnection(t *testing.T) {
	srv := httptest.NewServer(hurried(http.NotFoundHandler(), 10*time.Millisecond))
	defer srv.Close()
	for _, reply := range []string{"", "Connection: close\r\n"} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: 5000\r\n\r\nhalf", reply)
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != 404 {
			t.Fatalf("%q: %v %v", reply, resp, err)
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			t.Errorf("%q: the connection is held: %v", reply, err)
		}
	}
}

// A connection whose bodies are read goes on, however long it idles between them.
func TestAConnectionOutlivesItsBodies(t *testing.T) {
	opened := 0
	srv := httptest.NewUnstartedServer(hurried(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), time.Nanosecond))
	srv.Config.IdleTimeout = time.Minute
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened++
		}
	}
	srv.Start()
	defer srv.Close()
	for range 20 {
		resp, err := srv.Client().Post(srv.URL, "text/plain", strings.NewReader("whole"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != "whole" {
			t.Fatal(string(body), err)
		}
	}
	if opened != 1 {
		t.Errorf("%d connections", opened)
	}
}

// Keys must not travel in the clear because somebody typed 0.0.0.0.
func TestPlainHTTPStaysOnLoopback(t *testing.T) {
	for addr, ok := range map[string]bool{"127.0.0.1:8080": true, "[::1]:8080": true, "localhost:1": true, "0.0.0.0:8080": false, ":8080": false, "10.0.0.1:80": false, "nonsense": false} {
		c := Defaults()
		if err := c.checkListen(addr, true); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
		c.TLSCert = "cert.pem"
		if err := c.checkListen(addr, false); (err == nil) != ok {
			t.Errorf("%s on the listener that does no TLS: %v", addr, err)
		}
		c.Insecure = true
		if err := c.checkListen(addr, true); (err == nil) != (addr != "nonsense") {
			t.Errorf("%s with --insecure: %v", addr, err)
		}
	}
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	c := Defaults()
	c.Brand, c.Gateway.Errors, c.Gateway.Durability, c.Log.Level, c.Management.Rate = "xai-", "none", "never", "loud", 0
	c.Upstreams = []UpstreamConfig{{Name: "a"}}
	c.Prices = []PriceConfig{{Model: "m", Effective: "yesterday"}}
	err := c.Check()
	for _, want := range []string{"data:", "brand:", "gateway.errors:", "gateway.durability:", "log.level:", "management.rate:", "upstreams[0]", "prices[0]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestTheEnvironmentIsOverTheFileAndUnknownMembersAreErrors(t *testing.T) {
	c, err := Load("testdata/good.yaml", func() []string {
		return []string{"GATEHOUSE_GATEWAY_LISTEN=127.0.0.1:1", "GATEHOUSE_MANAGEMENT_KEY=gthm_x", "GATEHOUSE_URL=http://x", "GATEHOUSE_GATEWAY_TRUSTED_PROXIES=10.0.0.0/8,192.168.0.0/16", "PATH=/bin"}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Gateway.TrustedProxies) != 2 || c.Prices[0].Effective != "2026-01-01T00:00:00Z" || c.Gateway.Listen != "127.0.0.1:1" || c.Management.Listen != "127.0.0.1:8190" || c.Upstreams[0].Serves[0].Weight != 3 {
		t.Errorf("%+v", c)
	}
	if _, err := Load("testdata/typo.yaml", func() []string { return nil }); err == nil || !strings.Contains(err.Error(), "upstream_s") {
		t.Errorf("a typo passed: %v", err)
	}
}

func TestUpstreamFlags(t *testing.T) {
	u, err := ParseUpstreamFlag("http://127.0.0.1:9100/v1", 0)
	if err != nil || u.Serves[0].Owner != "" || !u.AllowPrivate || len(u.Families) < 9 {
		t.Errorf("bare: %+v, %v", u, err)
	}
	u, err = ParseUpstreamFlag("anthropic=https://api.anthropic.com/v1/", 1)
	if err != nil || u.Kind != "anthropic" || u.Serves[0].Owner != "anthropic" || u.AllowPrivate || strings.HasSuffix(u.BaseURL, "/") {
		t.Errorf("kind: %+v, %v", u, err)
	}
	for _, bad := range []string{"", "grok=https://x/v1", "ftp://x/v1", "openai="} {
		if _, err := ParseUpstreamFlag(bad, 0); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}
