package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rawPost is a request as bytes.
func rawPost(key, body string) string {
	return "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + key +
		"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// A client that closes its half has left, and may still read: what it is told
// then must not look like an answer, nor like the end of one.
func TestAClientThatLeftIsToldNothingThatLooksWhole(t *testing.T) {
	for name, body := range map[string]string{"before": chat, "amid a stream": chatStream} {
		began, goOn := make(chan struct{}), make(chan struct{})
		w := newWorld(t)
		w.upstream("one", serve(t, func(rw http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			if body == chat {
				close(began)
				<-goOn
				rw.Header().Set("Content-Type", "application/json")
				io.WriteString(rw, chatAnswer)
				return
			}
			rw.Header().Set("Content-Type", "text/event-stream")
			for i, f := range streamAnswer {
				io.WriteString(rw, f)
				rw.(http.Flusher).Flush()
				if i == 0 {
					close(began)
					<-goOn
				}
			}
		}))
		key := w.key(0)
		w.start()
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		w.must(err)
		defer conn.Close()
		io.WriteString(conn, rawPost(key, body))
		<-began
		conn.(*net.TCPConn).CloseWrite()
		time.AfterFunc(3*lookEvery, func() { close(goOn) })
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil {
			var text []byte
			if text, err = io.ReadAll(resp.Body); err == nil {
				t.Errorf("%s: %d %q, as if that were all", name, resp.StatusCode, text)
			}
		}
		if u := w.usage(); len(u) != 1 || u[0].Outcome != "client_gone" {
			t.Errorf("%s: %+v", name, u)
		}
	}
}

// A server that is going says so in the answers under way: a client that sent
// its next request on that connection would lose it.
func TestAnswersDuringAShutdownCloseTheirConnections(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	w := newWorld(t)
	w.upstream("one", serve(t, func(rw http.ResponseWriter, r *http.Request) {
		close(began)
		<-goOn
		good(rw, r)
	}))
	key := w.key(0)
	w.start()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	srv := &http.Server{Handler: w.g, ConnContext: ConnContext}
	ended := make(chan error, 2)
	go func() { ended <- srv.Serve(Listen(l)) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	w.must(err)
	defer conn.Close()
	io.WriteString(conn, rawPost(key, chat))
	<-began
	go func() { ended <- srv.Shutdown(context.Background()) }()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Fatal(err)
	}
	close(goOn)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	w.must(err)
	if resp.StatusCode != 200 || !resp.Close {
		t.Errorf("%d, close: %v", resp.StatusCode, resp.Close)
	}
	w.must(<-ended)
}

// What looks like HTTP/2 is either that or refused: a connection that only began
// like it would be served as HTTP/1 with its framing unchecked.
func TestAConnectionThatOnlyBeginsLikeHTTP2IsChecked(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	key := w.key(0)
	w.start()
	lax := strings.ReplaceAll(strings.Replace(rawPost(key, chat), "\r\n\r\n", "\n\n", 1), "\r\n", "\n")
	for _, first := range []string{"PRI * HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\nHost: g\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\nHost: g\r\n\r\n"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		w.must(err)
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(conn, first+lax)
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if strings.Contains(string(answer), "HTTP/1.1 200") {
			t.Errorf("%q: %s", first, answer)
		}
	}
	if n := len(w.usage()); n != 0 {
		t.Errorf("%d requests that lines end in bare LF were served", n)
	}
}

// A client that sends requests and reads no answer is let go, however small the
// answers: a goroutine and a connection are all it needs to hold.
func TestAClientThatReadsNothingIsLetGo(t *testing.T) {
	w := newWorld(t)
	w.start()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	inner := Listen(l).(*wires)
	inner.patience = 50 * time.Millisecond
	srv := &http.Server{Handler: w.g, ConnContext: ConnContext}
	go srv.Serve(inner)
	defer srv.Close()
	for name, request := range map[string]string{"refused": "GET /v1/models HTTP/1.1\r\nHost: g\r\n\r\n", "probe": "GET /healthz HTTP/1.1\r\nHost: g\r\n\r\n"} {
		conn, err := net.Dial("tcp", l.Addr().String())
		w.must(err)
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		many := []byte(strings.Repeat(request, 1000))
		for err == nil {
			_, err = conn.Write(many)
		}
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			t.Error(name, "is still held")
		}
		conn.Close()
	}
}
