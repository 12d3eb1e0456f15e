package gateway

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// pair is a connection on loopback: a wire and its other end.
func pair(t *testing.T) (*wire, net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := Listen(l).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near.(*wire), far
}

// A deadline that was asked for holds, whichever was set before it: a later one
// is not kept, and an earlier one does not end a read that may go on.
func TestALazyDeadlineIsTheOneAskedFor(t *testing.T) {
	const short, long = 30 * time.Millisecond, time.Minute
	for _, c := range []struct {
		first, then time.Duration // 0: none
		timeout     bool
	}{{long, short, true}, {short, long, false}, {short, 0, false}, {0, short, true}, {-time.Second, long, false}} {
		w, far := pair(t)
		deadline := func(d time.Duration) {
			var at time.Time
			if d != 0 {
				at = time.Now().Add(d)
			}
			if err := w.SetReadDeadline(at); err != nil {
				t.Fatal(err)
			}
		}
		// The first one is armed by a read under it.
		io.WriteString(far, "GET / HTTP/1.1\r\n")
		deadline(c.first)
		w.Read(make([]byte, 64)) // or fails, on a machine that is busy: then the next one reads it
		began := time.Now()
		deadline(c.then)
		if !c.timeout {
			sent := time.AfterFunc(2*short, func() { io.WriteString(far, "Host: g\r\n\r\n") })
			defer sent.Stop()
		}
		_, err := w.Read(make([]byte, 64))
		if errors.Is(err, os.ErrDeadlineExceeded) != c.timeout || time.Since(began) > long/2 {
			t.Errorf("%v, then %v: %v after %v", c.first, c.then, err, time.Since(began))
		}
	}
}

// A deadline set while a read waits ends it, as net/http needs to stop its watch.
func TestADeadlineReachesAReadThatWaits(t *testing.T) {
	w, _ := pair(t)
	ended := make(chan error)
	go func() {
		_, err := w.Read(make([]byte, 64))
		ended <- err
	}()
	for range 3 {
		w.SetReadDeadline(time.Now().Add(-time.Second))
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestALookTellsWhoLeft(t *testing.T) {
	w, far := pair(t)
	if w.look() {
		t.Error("a silent client has left")
	}
	io.WriteString(far, "x")
	for range 2 {
		if w.look() {
			t.Error("a client that speaks has left")
		}
	}
	w.Read(make([]byte, 64))
	far.Close()
	for end := time.Now().Add(5 * time.Second); !w.look(); {
		if time.Now().After(end) {
			t.Fatal("a client that closed is still there")
		}
	}
}

// Answers of every kind follow each other on one connection without a byte
// between them, whoever writes them.
func TestAnswersOnOneConnection(t *testing.T) {
	long := strings.Repeat("long ", 20_000)
	up := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case bytes.Contains(body, []byte(`"long"`)):
			rw.Header().Set("Content-Type", "application/json")
			io.WriteString(rw, strings.Replace(chatAnswer, `"hi"`, `"`+long+`"`, 1))
		case bytes.Contains(body, []byte(`"bad"`)):
			http.Error(rw, `{"error":{"message":"no"}}`, http.StatusUnprocessableEntity)
		default:
			r.Body = io.NopCloser(bytes.NewReader(body))
			good(rw, r)
		}
	})
	w := newWorld(t)
	w.upstream("one", up)
	key := w.key(0)
	w.start()
	request := func(method, path, body string) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, path, key, len(body), body)
	}
	kinds := []struct {
		request string
		status  int
		size    int // at least
	}{
		{request("POST", "/v1/chat/completions", chat), 200, len(chatAnswer)},
		{request("POST", "/v1/chat/completions", chatStream), 200, 100},
		{request("POST", "/v1/chat/completions", strings.Replace(chat, "hello there", `x","name":"long`, 1)), 200, len(long)},
		{request("POST", "/v1/chat/completions", strings.Replace(chat, "hello there", `x","name":"bad`, 1)), 422, 5},
		{request("POST", "/v1/chat/completions", `{"model":`), 400, 5},
		{request("POST", "/nowhere", chat), 404, 5}, // its body is left unread
		{request("GET", "/v1/models", ""), 200, 5},
		{request("HEAD", "/healthz", ""), 200, 0},
		{request("GET", "/healthz", ""), 200, 0},
		{strings.Replace(request("POST", "/v1/chat/completions", chat), "Host", "Expect: 100-continue\r\nHost", 1), 200, len(chatAnswer)},
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	br := bufio.NewReader(conn)
	for i := range 3 * len(kinds) {
		k := kinds[i*7%len(kinds)] // every kind behind several others
		io.WriteString(conn, k.request)
		resp, err := http.ReadResponse(br, &http.Request{Method: strings.Fields(k.request)[0]})
		if err != nil {
			t.Fatalf("%q: %v", k.request[:40], err)
		}
		if resp.StatusCode == http.StatusContinue {
			resp, err = http.ReadResponse(br, nil)
		}
		body, readErr := io.ReadAll(resp.Body)
		if err != nil || readErr != nil || resp.StatusCode != k.status || len(body) < k.size || resp.Header.Get("Date") == "" || br.Buffered() != 0 {
			t.Errorf("%q: %d, %d bytes, %d behind, %v %v", k.request[:40], resp.StatusCode, len(body), br.Buffered(), err, readErr)
		}
	}
	if n := len(w.usage()); n == 0 {
		t.Error("nothing was metered")
	}
}

// Over TLS both protocols are served, and the bytes inside are checked as they
// are without.
func TestTheWireOverTLS(t *testing.T) {
	donor := httptest.NewTLSServer(nil)
	defer donor.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inside := tls.NewListener(l, &tls.Config{Certificates: donor.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{ConnContext: ConnContext, Protocols: protocols, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, r.Proto) })}
	go srv.Serve(Listen(inside))
	defer srv.Close()
	for _, want := range []string{"HTTP/1.1", "HTTP/2.0"} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: want == "HTTP/2.0"}
		if want == "HTTP/1.1" {
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetHTTP1(true)
		}
		resp, err := (&http.Client{Transport: tr}).Get("https://" + l.Addr().String())
		if err != nil {
			t.Fatal(want, err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		tr.CloseIdleConnections()
		if string(body) != want || resp.Proto != want {
			t.Errorf("%s, spoken %s, want %s", body, resp.Proto, want)
		}
	}
	conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\nHost: g\n\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 400 {
		t.Error(resp, err)
	}
}

// FuzzFraming: the verdict on a stream of bytes, and where it falls, do not
// depend on the pieces in which they come.
func FuzzFraming(f *testing.F) {
	for _, c := range desyncCases() {
		f.Add([]byte(c.fill("u", "k")), uint8(7))
	}
	f.Fuzz(func(t *testing.T, p []byte, piece uint8) {
		var whole, parts framing
		good, ok := whole.check(p)
		at, fine := 0, true
		for size := int(piece)%40 + 1; fine && at < len(p); {
			next := min(at+size, len(p))
			var n int
			n, fine = parts.check(p[at:next])
			at += n
		}
		if ok != fine || ok && whole.state != parts.state {
			t.Errorf("whole %v at %d, in pieces %v at %d", ok, good, fine, at)
		}
	})
}

// BenchmarkFraming is what the check costs a request of usual size.
func BenchmarkFraming(b *testing.B) {
	p := []byte(raw{bytes: smuggled}.fill("u", strings.Repeat("k", 70)))
	var f framing
	for b.Loop() {
		if _, ok := f.check(p); !ok {
			b.Fatal("refused")
		}
	}
}
