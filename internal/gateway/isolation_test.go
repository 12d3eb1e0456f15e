package gateway

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// TestAProvidersFilesStayOutOfReach: teams share the provider's account, so a
// file's id in a body would reach another team's file.
func TestAProvidersFilesStayOutOfReach(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it reached the upstream") }))
	key := w.key(0)
	w.start()
	for path, body := range map[string]string{
		"/v1/chat/completions":      `{"model":"small","messages":[{"role":"user","content":[{"type":"file","file":{"file\u005fid":"file-1"}}]}]}`,
		"/v1/responses":             `{"model":"small","input":[{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}]}`,
		"/v1/messages":              `{"model":"small","max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"file_1"}}]}]}`,
		"/v1/messages/count_tokens": `{"model":"small","messages":[{"role":"user","content":[{"source":{"file_id":"file_1"}}]}]}`,
		"/v1/images/edits":          `{"model":"small","prompt":"p","image":{"file_id":"file-1"}}`,
	} {
		if r := w.post(key, path, body); r.status != 400 || !strings.Contains(r.body, `"file_id: `) {
			t.Error(path, r.status, r.body)
		}
	}
	if n := len(w.usage()); n != 0 {
		t.Error(n, "records")
	}
}

// TestAnIdempotencyKeyIsTheTeamsOwn: a provider that replays by it must not
// replay one team's answer to another.
func TestAnIdempotencyKeyIsTheTeamsOwn(t *testing.T) {
	seen := make(chan string, 3)
	w := newWorld(t)
	w.upstream("one", serve(t, func(rw http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Idempotency-Key")
		good(rw, r)
	}))
	mine, ours, theirs := w.key(0), w.key(0), w.key(1)
	w.start()
	var sent [3]string
	for i, key := range []string{mine, ours, theirs} {
		if r := w.post(key, "/v1/chat/completions", chat, "Idempotency-Key", "order-7"); r.status != 200 {
			t.Fatal(r)
		}
		sent[i] = <-seen
	}
	if sent[0] == "" || sent[0] != sent[1] || sent[0] == sent[2] || sent[0] == "order-7" || sent[2] == "order-7" {
		t.Error(sent)
	}
}

// TestTwoContentTypesAreRefused: one would be judged and both be sent.
func TestTwoContentTypesAreRefused(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it reached the upstream") }))
	key := w.key(0)
	w.start()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	w.must(err)
	defer c.Close()
	io.WriteString(c, "POST /v1/images/edits HTTP/1.1\r\nHost: g\r\nConnection: close\r\nAuthorization: Bearer "+key+
		"\r\nContent-Type: application/json\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 2\r\n\r\n{}")
	answer, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 415 ") {
		t.Errorf("%s", answer)
	}
}

// TestAnErrorThatNeverEndsDoesNotKeepTheClient: what an upstream writes below a
// 500 is worth a connection at most.
func TestAnErrorThatNeverEndsDoesNotKeepTheClient(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", rawServer(t, func(conn net.Conn, _ string) {
		io.WriteString(conn, "HTTP/1.1 500 X\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
		io.Copy(io.Discard, conn) // until the gateway gives up
	}), func(u *gatehouse.Upstream) { u.IdleTimeout = time.Minute })
	key := w.key(0)
	w.start()
	begun := time.Now()
	if r := w.post(key, "/v1/chat/completions", chat); r.status != 502 || time.Since(begun) > 20*time.Second {
		t.Error(r.status, time.Since(begun))
	}
}

func TestLiteralsBehindAProxyAreChecked(t *testing.T) {
	for host, ok := range map[string]bool{
		"api.openai.com": true, "models.internal": true, "[2606:4700::1111]:8080": true, "1.1.1.1": true,
		"[::1]": false, "[::1]:80": false, "127.0.0.1": false, "[::ffff:127.0.0.1]": false, "169.254.169.254": false,
		"2130706433": false, "0x7f.1": false, "0177.0.0.1": false, "127.1.": false,
	} {
		_, err := newLink(&gatehouse.Upstream{BaseURL: "http://" + host + "/v1", Proxy: "http://proxy:3128"})
		if (err == nil) != ok {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestReserveHoldsEveryChoice: n answers may each be max_tokens long.
func TestReserveHoldsEveryChoice(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	key := w.key(0, func(k *gatehouse.Key) { k.Limits, k.ReserveTPM = gatehouse.Limits{TPM: 1000}, true })
	w.start()
	for n, want := range map[string]int{"1": 200, "2": 429} {
		body := strings.Replace(chat, `{`, `{"max_tokens":600,"n":`+n+`,`, 1)
		if r := w.post(key, "/v1/chat/completions", body); r.status != want {
			t.Error(n, r.status, r.body)
		}
	}
}

// timed is a ResponseWriter that remembers which deadlines were set.
type timed struct {
	*httptest.ResponseRecorder
	read, write int
}

func (d *timed) SetReadDeadline(t time.Time) error  { d.read += set(t); return nil }
func (d *timed) SetWriteDeadline(t time.Time) error { d.write += set(t); return nil }

func set(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return 1
}

// TestSlowClientsAreBoundedBothWays: one that does not read an answer of any
// size would keep its body's memory for ever, and an upload without a length has
// as long for each MiB as one with it.
func TestSlowClientsAreBoundedBothWays(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		io.WriteString(rw, strings.Replace(chatAnswer, `"hi"`, `"`+strings.Repeat("y", 8<<10)+`"`, 1))
	}))
	key := w.key(0)
	w.start()
	body := strings.Replace(chat, "hello there", strings.Repeat("lorem ipsum ", 3<<20/12), 1)
	r := httptest.NewRequest("POST", "/v1/chat/completions", io.MultiReader(strings.NewReader(body)))
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	d := &timed{ResponseRecorder: httptest.NewRecorder()}
	w.g.ServeHTTP(d, r)
	if d.Code != 200 || d.write == 0 || d.read < 3 {
		t.Error(d.Code, d.write, d.read)
	}
}
