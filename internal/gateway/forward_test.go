package gateway

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
)

func TestAPlainAnswerPassesAndIsMetered(t *testing.T) {
	var got *http.Request
	var body string
	w := newWorld(t)
	w.upstream("one", serve(t, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r.Clone(t.Context()), string(b)
		rw.Header().Set("Set-Cookie", "a=b")
		rw.Header().Set("Openai-Processing-Ms", "12")
		good2(rw, body)
	}), func(u *gatehouse.Upstream) { u.Serves = []gatehouse.Serve{{Model: "small", As: "provider-small"}} })
	w.alias("nick", "small")
	key := w.key(0, func(k *gatehouse.Key) { k.Tags = map[string]string{"cost": "a"} })
	w.start()
	r := w.post(key, "/v1/chat/completions?beta=true", `{ "model":"nick", "user":"end", "messages":[] }`,
		"X-Request-Id", "req-1", "Cookie", "c=d", "Openai-Organization", "org", "Openai-Beta", "b", "X-Grok-Conv-Id", "g", "X-Own", "o",
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if r.status != 200 || r.body != chatAnswer || r.header.Get("X-Request-Id") != "req-1" || r.header.Get("Set-Cookie") != "" || r.header.Get("Openai-Processing-Ms") != "12" {
		t.Error(r)
	}
	if body != `{ "model":"provider-small", "user":"end", "messages":[] }` || got.URL.RawQuery != "beta=true" || got.URL.Path != "/v1/chat/completions" {
		t.Error(body, got.URL)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer provider-secret-one", "X-Request-Id": "req-1", "Cookie": "", "Openai-Organization": "", "X-Own": "",
		"Openai-Beta": "b", "X-Grok-Conv-Id": "g", "X-Api-Key": "",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("upstream saw %s: %q", name, got.Header.Get(name))
		}
	}
	if tp := got.Header.Get("Traceparent"); !strings.HasPrefix(tp, "00-0af7651916cd43dd8448eb211c80319c-") || strings.Contains(tp, "b7ad6b7169203331") {
		t.Error("trace not continued:", tp)
	}
	u := w.usage()
	if len(u) != 1 || u[0].Model != "small" || u[0].Asked != "nick" || u[0].EndUser != "end" || u[0].Usage.Prompt() != 7 || u[0].Usage.Completion() != 3 ||
		u[0].Outcome != gatehouse.Completed || u[0].Status != 200 || u[0].Upstream != "one" || u[0].Estimated || u[0].RequestID != "req-1" || u[0].Tags["cost"] != "a" {
		t.Errorf("%+v", u)
	}
}

func good2(w http.ResponseWriter, body string) {
	good(w, httptest.NewRequest("POST", "/", strings.NewReader(body)))
}

func TestAnthropicCredentials(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]http.Header{}
	w := newWorld(t)
	w.upstream("claude", serve(t, func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.URL.Path] = r.Header.Clone()
		mu.Unlock()
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, `{"id":"m","type":"message","content":[],"usage":{"input_tokens":1,"output_tokens":1}}`)
	}), func(u *gatehouse.Upstream) { u.Kind = gatehouse.Anthropic })
	key := w.key(0)
	w.start()
	r := w.post("", "/v1/messages", `{"model":"small","max_tokens":5,"messages":[]}`, "X-Api-Key", key, "Anthropic-Beta", "x")
	if r.status != 200 || r.header.Get("Request-Id") == "" {
		t.Fatal(r)
	}
	w.post(key, "/v1/chat/completions", chat)
	h := seen["/v1/messages"]
	if h.Get("X-Api-Key") != "provider-secret-claude" || h.Get("Authorization") != "" || h.Get("Anthropic-Version") != anthropicVersion || h.Get("Anthropic-Beta") != "x" {
		t.Error(h)
	}
	if h := seen["/v1/chat/completions"]; h.Get("Authorization") != "Bearer provider-secret-claude" || h.Get("X-Api-Key") != "" {
		t.Error(h)
	}
}

func TestAStreamLosesNothingButTheUsageNobodyAskedFor(t *testing.T) {
	asked := ""
	w := newWorld(t)
	w.upstream("one", serve(t, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked = string(b)
		good2(rw, asked)
	}))
	key := w.key(0)
	w.start()
	r := w.post(key, "/v1/chat/completions", chatStream)
	want := strings.Join(append(append([]string{}, streamAnswer[:3]...), streamAnswer[4]), "")
	if r.status != 200 || r.err != nil || r.body != want || !strings.Contains(asked, `"include_usage":true`) {
		t.Errorf("%+v\n%s", r, asked)
	}
	r = w.post(key, "/v1/chat/completions", strings.Replace(chatStream, `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1))
	if r.body != strings.Join(streamAnswer, "") {
		t.Errorf("%q", r.body)
	}
	for _, u := range w.usage() {
		if u.Usage.Tokens() != 10 || u.Estimated || u.Outcome != gatehouse.Completed {
			t.Errorf("%+v", u)
		}
	}
}

// TestWhatUpstreamsDoWrong covers the contract's upstream rows and every way in
// which an answer can fail to be one.
func TestWhatUpstreamsDoWrong(t *testing.T) {
	answer := func(status int, header ...string) func(net.Conn, string) {
		return func(c net.Conn, _ string) {
			fmt.Fprintf(c, "HTTP/1.1 %d X\r\nContent-Length: 2\r\n%s\r\n{}", status, strings.Join(header, ""))
		}
	}
	say := func(s string) func(net.Conn, string) {
		return func(c net.Conn, _ string) { io.WriteString(c, s); c.Close() }
	}
	ok := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for _, c := range []struct {
		name    string
		f       func(net.Conn, string)
		status  int
		want    string
		outcome gatehouse.Outcome
	}{
		{"401", answer(401), 502, "upstream-credential", gatehouse.Failed},
		{"403", answer(403), 502, "upstream-credential", gatehouse.Failed},
		{"429", answer(429, "Retry-After: 7\r\n"), 429, "upstream-exhausted", gatehouse.Failed},
		{"500", answer(500), 502, "upstream-failed", gatehouse.Failed},
		{"529", answer(529), 502, "upstream-failed", gatehouse.Failed},
		{"redirect", answer(302, "Location: http://127.0.0.1:1/\r\n"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"404 passes", answer(404, "Content-Type: application/json\r\n"), 404, "{}", gatehouse.Failed},
		{"422 passes", answer(422, "Content-Type: application/json\r\n"), 422, "{}", gatehouse.Failed},
		{"interim answers", say("HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + ok + "Content-Length: 2\r\n\r\n{}"), 200, "{}", gatehouse.Completed},
		{"garbage", say("hello\r\n\r\n"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"half a status line", say("HTTP/1.1 20"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"half a head", say(ok), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"nothing", say(""), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"switching", say("HTTP/1.1 101 X\r\n\r\n"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"endless interim", say(strings.Repeat("HTTP/1.1 100 X\r\n\r\n", 20)), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"lying length", say(ok + "Content-Length: 500\r\n\r\n" + chatAnswer[:100]), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"cut JSON", say(ok + "Content-Length: 100\r\n\r\n" + chatAnswer[:100]), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"not JSON", say(ok + "Content-Length: 4\r\n\r\n<ok>"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"HTML", say("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<ok>"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"compressed", say(ok + "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"two lengths", say(ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"length and chunks", say(ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"odd coding", say(ok + "Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"folded line", say(ok + " folded\r\nContent-Length: 2\r\n\r\n{}"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"bare LF", say("HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"endless head", say(ok + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 80)), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"many headers", say(ok + strings.Repeat("X: y\r\n", 300) + "\r\n"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"bad chunk", say(ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"no last chunk", say(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"no trailer's end", say(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"), 502, "upstream-failed", gatehouse.UpstreamLost},
		{"until close", say(ok + "\r\n" + chatAnswer), 200, chatAnswer, gatehouse.Completed},
		{"trailer", say(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n"), 200, "{}", gatehouse.Completed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.upstream("one", rawServer(t, c.f))
			key := w.key(0)
			w.start()
			r := w.post(key, "/v1/chat/completions", chat)
			if r.status != c.status || !strings.Contains(r.body, c.want) || r.err != nil {
				t.Errorf("got %d %s %v", r.status, r.body, r.err)
			}
			if c.name == "429" && r.header.Get("Retry-After") != "7" {
				t.Error("Retry-After", r.header)
			}
			u := w.usage()
			if len(u) != 1 || u[0].Outcome != c.outcome || u[0].Status != c.status {
				t.Errorf("%+v", u)
			}
			if c.status >= 400 && u[0].Usage.Tokens() != 0 {
				t.Error("billed for an error")
			}
			if strings.Contains(r.body+w.logs.String(), "provider-secret") {
				t.Error("credential leaked")
			}
		})
	}
}

func TestAnUpstreamThatHangsIs504(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t)
	w.upstream("one", serve(t, func(http.ResponseWriter, *http.Request) { <-release }), func(u *gatehouse.Upstream) { u.HeaderTimeout = 50 * time.Millisecond })
	t.Cleanup(func() { close(release) })
	key := w.key(0)
	w.start()
	if r := w.post(key, "/v1/chat/completions", chat); r.status != 504 || !strings.Contains(r.body, "upstream-timeout") {
		t.Error(r)
	}
	if u := w.usage(); len(u) != 1 || u[0].Outcome != gatehouse.UpstreamLost {
		t.Errorf("%+v", u)
	}
}

func TestAnUnreachableUpstreamLeavesNoRecord(t *testing.T) {
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	l.Close()
	w := newWorld(t)
	w.upstream("one", "http://"+l.Addr().String())
	key := w.key(0)
	w.start()
	if r := w.post(key, "/v1/chat/completions", chat); r.status != 502 {
		t.Error(r)
	}
	if u := w.usage(); len(u) != 0 {
		t.Errorf("%+v", u)
	}
}

// TestABrokenStreamEndsInAnErrorEvent cuts and stalls a stream: what came in
// whole frames passes, an error event follows, the end is not clean and no
// [DONE] is made up.
func TestABrokenStreamEndsInAnErrorEvent(t *testing.T) {
	all := strings.Join(streamAnswer, "")
	for _, mode := range []string{"reset", "cut", "stall", "clean end without DONE"} {
		for _, n := range []int{1, len(streamAnswer[0]) - 1, len(streamAnswer[0]), len(streamAnswer[0]) + 40, len(all) - 9} {
			if mode == "stall" && n != len(streamAnswer[0])+40 {
				continue
			}
			t.Run(fmt.Sprint(mode, n), func(t *testing.T) {
				hold := make(chan struct{})
				w := newWorld(t)
				w.upstream("one", rawServer(t, func(c net.Conn, _ string) {
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", n, all[:n])
					switch mode {
					case "stall":
						<-hold
					case "clean end without DONE":
						io.WriteString(c, "0\r\n\r\n")
					case "reset":
						c.(*net.TCPConn).SetLinger(0)
					}
					c.Close()
				}), func(u *gatehouse.Upstream) { u.IdleTimeout, u.AskUsage = 50*time.Millisecond, false })
				t.Cleanup(func() { close(hold) })
				key := w.key(0)
				w.start()
				r := w.post(key, "/v1/chat/completions", chatStream)
				if strings.Contains(r.body, "[DONE]") {
					t.Error("forged [DONE]")
				}
				whole := len(streamAnswer[0])
				switch {
				case n < whole && (r.status/100 != 5 || r.err != nil):
					t.Error("before the first frame it is a plain error", r)
				case n >= whole && (r.status != 200 || r.err == nil || !strings.HasPrefix(r.body, streamAnswer[0]) || !strings.HasSuffix(r.body, "\"}\n\n")):
					t.Error(r)
				}
				if n >= whole && !strings.Contains(r.body, `data: {"code":"upstream-`) {
					t.Error("no error event", r.body)
				}
				for frame := range strings.SplitSeq(strings.TrimSuffix(r.body, "\n\n"), "\n\n") {
					if n >= whole && !strings.HasSuffix(frame, "}") {
						t.Errorf("not well-formed: %q", frame)
					}
				}
				u := w.usage()
				if len(u) != 1 || u[0].Outcome != gatehouse.UpstreamLost {
					t.Errorf("%+v", u)
				}
				if n >= whole && n < len(all)-9 && (!u[0].Estimated || u[0].Usage.Completion() == 0 || u[0].Usage.Prompt() == 0) {
					t.Errorf("what was seen is not billed: %+v", u[0])
				}
			})
		}
	}
}

// TestLeavingAtAnyByteLeavesOneRecord lets a client go after every byte of a
// stream, and of the head before it. The upstream finishes; so does the pump,
// and the usage is exact.
func TestLeavingAtAnyByteLeavesOneRecord(t *testing.T) {
	w := newWorld(t)
	up := serve(t, good)
	w.upstream("one", up)
	key := w.key(0)
	w.start()
	total := len(strings.Join(streamAnswer, "")) + 400
	step := 1
	if testing.Short() {
		step = 17
	}
	n := 0
	for at := 0; at < total; at += step {
		n++
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		w.must(err)
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", key, len(chatStream), chatStream)
		if at > 0 {
			io.CopyN(io.Discard, conn, int64(at))
		}
		conn.Close()
	}
	var u []gatehouse.UsageRecord
	w.eventually(func() bool { u = w.usage(); return len(u) >= n })
	if len(u) != n {
		t.Errorf("%d records of %d requests", len(u), n)
	}
	ids := map[gatehouse.ID]bool{}
	for _, r := range u {
		ids[r.ID] = true
		if r.Usage.Tokens() != 10 || r.Estimated {
			t.Errorf("%s %d: %v estimated %v", r.Outcome, r.Status, r.Usage, r.Estimated)
		}
	}
	if len(ids) != n {
		t.Error("an id twice")
	}
}

// TestThePumpIsBounded leaves a stream that never ends.
func TestThePumpIsBounded(t *testing.T) {
	for _, bound := range []string{"bytes", "time"} {
		t.Run(bound, func(t *testing.T) {
			ended := make(chan struct{})
			w := newWorld(t)
			w.upstream("one", serve(t, func(rw http.ResponseWriter, r *http.Request) {
				defer close(ended)
				rw.Header().Set("Content-Type", "text/event-stream")
				for r.Context().Err() == nil {
					if bound == "time" {
						select {
						case <-r.Context().Done():
						case <-time.After(5 * time.Millisecond):
						}
					}
					io.WriteString(rw, streamAnswer[0])
					rw.(http.Flusher).Flush()
				}
			}))
			key := w.key(0)
			w.start(func(c *Config) {
				if c.DrainBytes = 64 << 10; bound == "time" {
					c.DrainTime = 30 * time.Millisecond
				}
			})
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
			w.must(err)
			fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", key, len(chatStream), chatStream)
			io.CopyN(io.Discard, conn, 300)
			conn.Close()
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("the upstream is still being read")
			}
			u := w.usage()
			if len(u) != 1 || u[0].Outcome != gatehouse.ClientGone || !u[0].Estimated || u[0].Usage.Completion() == 0 {
				t.Errorf("%+v", u)
			}
		})
	}
}

func TestLeavingBeforeTheAnswerIsBilledAsAnEstimate(t *testing.T) {
	arrived, hold := make(chan struct{}), make(chan struct{})
	w := newWorld(t)
	w.upstream("one", serve(t, func(http.ResponseWriter, *http.Request) { close(arrived); <-hold }))
	t.Cleanup(func() { close(hold) })
	key := w.key(0)
	w.start(func(c *Config) { c.DrainTime = 20 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	w.must(err)
	fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", key, len(chat), chat)
	<-arrived
	conn.Close()
	u := w.usage()
	if len(u) != 1 || u[0].Outcome != gatehouse.ClientGone || u[0].Status != 0 || !u[0].Estimated || u[0].Usage.Prompt() == 0 {
		t.Errorf("%+v", u)
	}
}

func TestAnotherUpstreamIsTriedBeforeTheFirstByte(t *testing.T) {
	var bad atomic.Int64
	status := atomic.Int64{}
	w := newWorld(t)
	w.upstream("a", serve(t, func(rw http.ResponseWriter, _ *http.Request) {
		bad.Add(1)
		rw.Header().Set("Retry-After", "60")
		rw.WriteHeader(int(status.Load()))
	}), func(u *gatehouse.Upstream) { u.Serves[0].Weight = 1000000 })
	w.upstream("b", serve(t, good))
	key := w.key(0)
	w.start()
	for i, s := range []int64{429, 500, 401} {
		status.Store(s)
		w.g.cooling = cooling{}
		if r := w.post(key, "/v1/chat/completions", chat); r.status != 200 {
			t.Error(s, r)
		}
		if n := bad.Load(); n != int64(i+1) {
			t.Errorf("%d: asked %d times", s, n)
		}
	}
	if w.post(key, "/v1/chat/completions", chat); bad.Load() != 3 {
		t.Error("asked an upstream that is cooling")
	}
	u := w.usage()
	if len(u) != 4 || u[0].Upstream != "b" || u[0].Attempts != 2 || u[3].Attempts != 1 {
		t.Errorf("%+v", u)
	}
}

func TestFallbackModelsAreJudgedAgain(t *testing.T) {
	var asked []string
	w := newWorld(t)
	w.upstream("bad", serve(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) }), func(u *gatehouse.Upstream) { u.Serves = []gatehouse.Serve{{Model: "small"}} })
	w.upstream("good", serve(t, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked = append(asked, string(b))
		good2(rw, string(b))
	}), func(u *gatehouse.Upstream) {
		u.Serves = []gatehouse.Serve{{Model: "large"}, {Model: "free"}, {Model: "spare"}}
	})
	w.alias("best", "small", "free", "large", "spare")
	key := w.key(0, func(k *gatehouse.Key) {
		k.ACL = gatehouse.ACL{"api-key:model:small", "api-key:model:free", "api-key:model:spare", "api-key:endpoint:*"}
	})
	w.start()
	if r := w.post(key, "/v1/chat/completions", strings.Replace(chat, "small", "best", 1)); r.status != 200 {
		t.Error(r)
	}
	if len(asked) != 1 || !strings.Contains(asked[0], `"model":"spare"`) {
		t.Error("neither the unpriced nor the forbidden model may answer:", asked)
	}
	if u := w.usage(); len(u) != 1 || u[0].Model != "spare" || u[0].Asked != "best" || u[0].Upstream != "good" {
		t.Errorf("%+v", u)
	}
}

// TestAStaleConnectionIsReplaced closes connections behind the gateway's back.
func TestAStaleConnectionIsReplaced(t *testing.T) {
	var conns, requests atomic.Int64
	w := newWorld(t)
	w.upstream("one", rawServer(t, func(c net.Conn, _ string) {
		n := requests.Add(1)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(chatAnswer), chatAnswer)
		if n%2 == 1 {
			c.Close() // without having said so
		}
		conns.Add(1)
	}))
	key := w.key(0)
	w.start()
	for i := range 20 {
		if r := w.post(key, "/v1/chat/completions", chat); r.status != 200 {
			t.Fatal(i, r)
		}
	}
	if u := w.usage(); len(u) != 20 {
		t.Error(len(u))
	}
}

// TestNothingIsReadBehindAnAnswer poisons a connection: bytes that nobody asked
// for must never become somebody's answer.
func TestNothingIsReadBehindAnAnswer(t *testing.T) {
	poison := strings.Replace(chatAnswer, `"hi"`, `"poison"`, 1)
	framed := func(s string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(s), s)
	}
	for _, together := range []bool{true, false} {
		var peer net.Conn
		w := newWorld(t)
		up := w.upstream("one", rawServer(t, func(c net.Conn, _ string) {
			peer = c
			io.WriteString(c, framed(chatAnswer))
			if together {
				io.WriteString(c, framed(poison))
			}
		}))
		key := w.key(0)
		w.start()
		for range 5 {
			if r := w.post(key, "/v1/chat/completions", chat); r.status != 200 || r.body != chatAnswer {
				t.Error(together, r)
			}
			w.usage() // waits for the end of the request
			l, err := w.g.links.get(up)
			w.must(err)
			l.mu.Lock()
			idle := append([]*conn(nil), l.free...)
			l.mu.Unlock()
			if !together {
				io.WriteString(peer, framed(poison))
			}
			for _, c := range idle {
				w.eventually(func() bool { return !c.alive() })
			}
		}
	}
}

func TestTPMEngagesWhileAStreamRuns(t *testing.T) {
	flowed, release := make(chan struct{}), make(chan struct{})
	w := newWorld(t)
	w.upstream("one", serve(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		for range 10 {
			fmt.Fprintf(rw, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", strings.Repeat("word ", 40))
		}
		rw.(http.Flusher).Flush()
		close(flowed)
		<-release
		for _, f := range streamAnswer[2:] {
			io.WriteString(rw, f)
		}
	}))
	key := w.key(0, func(k *gatehouse.Key) { k.Limits.TPM = 100 })
	w.start()
	done := make(chan reply)
	go func() { done <- w.post(key, "/v1/chat/completions", chatStream) }()
	<-flowed
	w.eventually(func() bool { return w.get(key, "/v1/me").status == 429 })
	close(release)
	if r := <-done; r.status != 200 || r.err != nil || !strings.HasSuffix(r.body, "data: [DONE]\n\n") {
		t.Error("the stream must finish", r)
	}
	w.eventually(func() bool { return w.get(key, "/v1/me").status == 200 })
}

func TestAddressesThatMayNotBeDialled(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good), func(u *gatehouse.Upstream) { u.AllowPrivate = false })
	key := w.key(0)
	w.start()
	if r := w.post(key, "/v1/chat/completions", chat); r.status != 502 || strings.Contains(r.body, "127.0.0.1") {
		t.Error(r)
	}
}

func TestHTTP2AndProxiesGoThroughTheTransport(t *testing.T) {
	for _, mode := range []string{"h2", "h2c", "proxy", "custom CA"} {
		t.Run(mode, func(t *testing.T) {
			var proto string
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { proto = r.Proto; good(rw, r) }))
			srv.EnableHTTP2 = mode == "h2"
			if mode == "h2c" {
				srv.Config.Protocols = new(http.Protocols)
				srv.Config.Protocols.SetUnencryptedHTTP2(true)
			}
			var proxied atomic.Int64
			proxy := serve(t, func(rw http.ResponseWriter, r *http.Request) {
				proxied.Add(1)
				resp, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					rw.WriteHeader(502)
					return
				}
				defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
				defer resp.Body.Close()
				rw.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
				io.Copy(rw, resp.Body)
			})
			if mode == "h2" || mode == "custom CA" {
				srv.StartTLS()
			} else {
				srv.Start()
			}
			t.Cleanup(srv.Close)
			w := newWorld(t)
			w.upstream("one", srv.URL, func(u *gatehouse.Upstream) {
				switch mode {
				case "h2", "custom CA":
					u.CACert = pemOf(srv)
				case "proxy":
					u.Proxy = proxy
				}
				if mode == "h2" || mode == "h2c" {
					u.HTTP = "2"
				}
			})
			key := w.key(0)
			w.start()
			for range 2 {
				if r := w.post(key, "/v1/chat/completions", chat); r.status != 200 || r.body != chatAnswer {
					t.Error(r, w.logs)
				}
				if r := w.post(key, "/v1/chat/completions", chatStream); r.status != 200 || !strings.HasSuffix(r.body, "[DONE]\n\n") {
					t.Error(r)
				}
			}
			if u := w.usage(); len(u) != 4 {
				t.Error(len(u))
			}
			if want := map[string]string{"h2": "HTTP/2.0", "h2c": "HTTP/2.0"}[mode]; want != "" && proto != want || mode == "proxy" && proxied.Load() != 4 {
				t.Error(proto, proxied.Load())
			}
		})
	}
}

func TestALargeBodyAndALargeAnswerPass(t *testing.T) {
	text := strings.Repeat("x", 1<<20)
	var size int
	w := newWorld(t)
	w.upstream("one", serve(t, func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		size = len(b)
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, strings.Replace(chatAnswer, `"hi"`, `"`+text+`"`, 1))
	}))
	key := w.key(0)
	w.start()
	body := strings.Replace(chat, "hello there", text, 1)
	r := w.post(key, "/v1/chat/completions", body)
	if r.status != 200 || r.err != nil || len(r.body) != len(chatAnswer)-2+len(text) || size != len(body) {
		t.Error(r.status, r.err, len(r.body), size)
	}
	if r := w.send("POST", key, "/v1/chat/completions", io.MultiReader(strings.NewReader(body)), "Content-Type", "application/json"); r.status != 200 {
		t.Error("chunked upload", r.status)
	}
	if u := w.usage(); len(u) != 2 || u[0].Usage.Tokens() != 10 {
		t.Errorf("%+v", u)
	}
}

// TestAChangedUpstreamGetsNewConnections rotates a credential and moves an
// upstream, as the feed would.
func TestAChangedUpstreamGetsNewConnections(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]string{}
	handler := func(name string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[name] = r.Header.Get("Authorization")
			mu.Unlock()
			good(rw, r)
		}
	}
	w := newWorld(t)
	u := w.upstream("one", serve(t, handler("old")))
	key := w.key(0)
	w.start()
	w.post(key, "/v1/chat/completions", chat)
	u.BaseURL, u.Credential, u.Revision = serve(t, handler("new"))+"/v1", "rotated", rev(2)
	r, err := feed.UpstreamRecord(u, "local")
	w.must(err)
	w.must(w.replica.Apply(&feed.Batch{From: rev(1), To: rev(2), Time: time.Now(), Records: []feed.Record{r}}, time.Now()))
	if r := w.post(key, "/v1/chat/completions", chat); r.status != 200 {
		t.Fatal(r)
	}
	if seen["old"] != "Bearer provider-secret-one" || seen["new"] != "Bearer rotated" {
		t.Error(seen)
	}
}

// TestAnAnswerBeforeTheBodyIsRead has an upstream that refuses a large body and
// closes without reading it.
func TestAnAnswerBeforeTheBodyIsRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.ReadFull(c, make([]byte, 100))
			io.WriteString(c, "HTTP/1.1 413 Large\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
			c.(*net.TCPConn).CloseWrite()
			io.CopyN(io.Discard, c, 64<<10)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	w := newWorld(t)
	w.upstream("one", "http://"+l.Addr().String())
	key := w.key(0)
	w.start()
	r := w.post(key, "/v1/chat/completions", strings.Replace(chat, "hello there", strings.Repeat("x", 8<<20), 1))
	if r.status != 413 && r.status != 502 {
		t.Error(r)
	}
	if u := w.usage(); len(u) != 1 || u[0].Usage.Tokens() != 0 {
		t.Errorf("%+v", u)
	}
}

func TestSpeechIsHeardWhileItIsMade(t *testing.T) {
	heard := make(chan struct{})
	w := newWorld(t)
	w.upstream("one", serve(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "audio/mpeg")
		io.WriteString(rw, "first")
		rw.(http.Flusher).Flush()
		<-heard
		io.WriteString(rw, "second")
	}))
	key := w.key(0)
	w.start()
	req, _ := http.NewRequest("POST", w.url+"/v1/audio/speech", strings.NewReader(`{"model":"small","input":"hello","voice":"a"}`))
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	w.must(err)
	defer resp.Body.Close()
	first := make([]byte, 5)
	io.ReadFull(resp.Body, first)
	close(heard)
	rest, err := io.ReadAll(resp.Body)
	if string(first)+string(rest) != "firstsecond" || err != nil {
		t.Errorf("%q %q %v", first, rest, err)
	}
	if u := w.usage(); len(u) != 1 || u[0].Usage[gatehouse.Characters] != 5 {
		t.Errorf("%+v", u)
	}
}
