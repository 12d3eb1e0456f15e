package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse"
)

// The benchmarks compare, in one process and run: no proxy at all, a bare
// httputil.ReverseProxy, and the gateway with everything on. Client and
// upstream are raw sockets, so that they cost little; what "direct" costs is in
// all three and can be taken off. cpu-us/op is user plus system time of the
// process: the figure to compare, since wall time includes waiting.

const benchConns = 64

// benchUpstream answers every request with fixed bytes.
func benchUpstream(b *testing.B, parts ...string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				br := bufio.NewReaderSize(c, 4096)
				for skipRequest(br) == nil {
					for _, p := range parts {
						io.WriteString(c, p)
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// skipRequest reads a head and as much body as it declares, or chunks.
func skipRequest(br *bufio.Reader) error {
	length, chunked := 0, false
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case len(line) == 2:
			if chunked {
				_, err = io.Copy(io.Discard, httputil.NewChunkedReader(br))
				if err == nil {
					_, err = br.Discard(2)
				}
				return err
			}
			_, err = br.Discard(length)
			return err
		case len(line) > 16 && bytes.EqualFold(line[:16], []byte("Content-Length: ")):
			fmt.Sscan(string(line[16:]), &length)
		case bytes.HasPrefix(bytes.ToLower(line), []byte("transfer-encoding:")):
			chunked = true
		}
	}
}

// drive sends b.N requests over n connections and reads each answer up to its
// known end.
func drive(b *testing.B, addr, key, body, end string, n int) {
	request := fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body)
	jobs := make(chan struct{}, n)
	var wg sync.WaitGroup
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer c.Close()
			buf, tail := make([]byte, 64<<10), []byte(end)
			for range jobs {
				c.Write(request)
				for have := 0; !bytes.HasSuffix(buf[:have], tail); {
					k, err := c.Read(buf[have:])
					if err != nil {
						b.Error(err)
						for range jobs { // let the sender finish
						}
						return
					}
					have += k
				}
			}
		})
	}
	before, begin := cpu(), time.Now()
	b.ResetTimer()
	for range b.N {
		jobs <- struct{}{}
	}
	close(jobs)
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "req/s")
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkForward(b *testing.B) {
	pad := strings.Repeat("x", 300)
	plain := strings.Replace(chat, "hello there", pad, 1)
	answer := strings.Replace(chatAnswer, `"hi"`, `"`+strings.Repeat("y", 400)+`"`, 1)
	whole := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
	stream := []string{"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"}
	for range 18 {
		stream = append(stream, fmt.Sprintf("%x\r\n%s\r\n", len(streamAnswer[1]), streamAnswer[1]))
	}
	for _, f := range streamAnswer[3:] {
		stream = append(stream, fmt.Sprintf("%x\r\n%s\r\n", len(f), f))
	}
	stream[len(stream)-1] += "0\r\n\r\n"
	for _, c := range []struct {
		name, body, end string
		parts           []string
	}{
		{"plain", plain, answer[len(answer)-20:], []string{whole}},
		{"megabyte", strings.Replace(chat, "hello there", strings.Repeat("lorem ipsum ", 87382), 1), answer[len(answer)-20:], []string{whole}},
		{"stream", chatStream, "[DONE]\n\n\r\n0\r\n\r\n", stream},
	} {
		for _, conns := range []int{1, 4, benchConns} {
			if (c.name == "megabyte") != (conns == 4) {
				continue
			}
			b.Run(fmt.Sprintf("%s/direct/%d", c.name, conns), func(b *testing.B) {
				drive(b, benchUpstream(b, c.parts...), "x", c.body, c.end, conns)
			})
			b.Run(fmt.Sprintf("%s/reverseproxy/%d", c.name, conns), func(b *testing.B) {
				target := &url.URL{Scheme: "http", Host: benchUpstream(b, c.parts...)}
				tr := &http.Transport{MaxIdleConnsPerHost: 256}
				defer tr.CloseIdleConnections()
				srv := httptest.NewServer(&httputil.ReverseProxy{Transport: tr, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
				defer srv.Close()
				drive(b, srv.Listener.Addr().String(), "x", c.body, c.end, conns)
			})
			b.Run(fmt.Sprintf("%s/gateway/%d", c.name, conns), func(b *testing.B) {
				w := newWorld(b)
				w.upstream("one", "http://"+benchUpstream(b, c.parts...))
				var key string
				for range 1000 {
					key = w.key(0)
				}
				w.start(func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(io.Discard, nil)) })
				drive(b, strings.TrimPrefix(w.url, "http://"), key, c.body, c.end, conns)
			})
		}
	}
}

// BenchmarkAdmit is what admission costs beside the HTTP stack: from the head
// of a request to a value that may be dispatched, limits taken.
func BenchmarkAdmit(b *testing.B) {
	w := newWorld(b)
	w.upstream("one", "http://127.0.0.1:1")
	key := w.key(0, func(k *gatehouse.Key) { k.Limits = gatehouse.Limits{QPS: 1 << 30, QPM: 1 << 30, TPM: 1 << 40} })
	w.start()
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	r.RemoteAddr = "127.0.0.1:1234"
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	body := strings.NewReader(chat)
	r.Body, r.ContentLength = io.NopCloser(body), int64(len(chat))
	rec := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(chat)
		c := w.g.open(rec, r)
		if _, no := c.admit(); no != nil {
			b.Fatal(no)
		}
		c.ticket.Settle(c.now(), 10)
		c.dropBody()
	}
}
