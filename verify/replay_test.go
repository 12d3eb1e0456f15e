package verify

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"strings"
	"testing"

	"gatehouse"
	"gatehouse/internal/simulate"
)

// turn is one exchange of a recorded session.
type turn struct {
	name, method, target string
	header               http.Header
	body                 string
	answerHeader         http.Header
	answer               string
	usage                gatehouse.Usage

	// What the provider got, filled in by the replay.
	gotTarget, gotBody string
	gotHeader          http.Header
}

// TestSessionsReplay plays recorded sessions of real clients through the
// gateway to a provider that answers as recorded: the body reaches it byte for
// byte and with the headers that may pass alone, the answer reaches the client
// byte for byte, and the books have its tokens, unit by unit.
func TestSessionsReplay(t *testing.T) {
	provider := &recordedProvider{}
	server := httptest.NewServer(provider)
	defer server.Close()
	h := newHouse(t, simulate.Options{})
	h.stop()
	h.SetUpstream("anthropic=" + server.URL + "/v1")
	h.start()
	giveCredential(h)
	k := h.createKey("")
	want := map[string]*turn{}
	for _, s := range sessions(t) {
		for _, x := range s {
			want[provider.play(h, k, x)] = x
		}
	}
	probe(h)
	h.stop()
	rows := h.rowsByRequest()
	for id, x := range want {
		if len(rows[id]) != 1 {
			t.Errorf("%s: %d usage rows", x.name, len(rows[id]))
			continue
		}
		if r := rows[id][0]; r.Usage != x.usage || r.Estimated || r.Model != "claude-sonnet-4-5" || r.Unpriced || r.Costs.Total() <= 0 {
			t.Errorf("%s: the books have %+v, want %v", x.name, r, x.usage)
		}
	}
	if len(rows) != len(want) {
		t.Errorf("%d requests in the books, %d were answered", len(rows), len(want))
	}
	h.findNoSecrets([]byte(h.Log()))
}

// sessions reads the recordings. Their usage is what the answers say, taken
// apart: no unit counts twice.
func sessions(t *testing.T) [][]*turn {
	return [][]*turn{
		{
			readTurn(t, "claude-code/1", gatehouse.Usage{gatehouse.PromptText: 4, gatehouse.CacheWrite5m: 12034, gatehouse.CompletionText: 87}),
			readTurn(t, "claude-code/2", gatehouse.Usage{
				gatehouse.PromptText: 6, gatehouse.CacheRead: 12034, gatehouse.CacheWrite5m: 100, gatehouse.CacheWrite1h: 18, gatehouse.CompletionText: 9,
			}),
		}, {
			readTurn(t, "openai-claude/1", gatehouse.Usage{gatehouse.PromptText: 412, gatehouse.CompletionText: 54}),
			readTurn(t, "openai-claude/2", gatehouse.Usage{gatehouse.PromptText: 486, gatehouse.CompletionText: 17}),
			readTurn(t, "openai-claude/3", gatehouse.Usage{gatehouse.PromptText: 19, gatehouse.CompletionText: 6}),
		},
	}
}

func readTurn(t *testing.T, name string, usage gatehouse.Usage) *turn {
	t.Helper()
	first, header, body := readMessage(t, name+".request", true)
	x := &turn{name: name, header: header, body: body, usage: usage}
	x.method, x.target, _ = strings.Cut(strings.TrimSuffix(first, " HTTP/1.1"), " ")
	_, x.answerHeader, x.answer = readMessage(t, name+".answer", false)
	return x
}

// readMessage takes a file of the recording apart.
func readMessage(t *testing.T, name string, hasFirst bool) (first string, header http.Header, body string) {
	t.Helper()
	text, err := os.ReadFile("testdata/replay/" + name)
	if err != nil {
		t.Fatal(err)
	}
	head, body, found := strings.Cut(string(text), "\n\n")
	if hasFirst {
		first, head, _ = strings.Cut(head, "\n")
	}
	fields, err := textproto.NewReader(bufio.NewReader(strings.NewReader(head + "\n\n"))).ReadMIMEHeader()
	if err != nil || !found {
		t.Fatalf("%s: %v", name, err)
	}
	return first, http.Header(fields), body
}

// recordedProvider answers the turn that is being played, in pieces that end
// anywhere.
type recordedProvider struct{ now *turn }

func (p *recordedProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.now.gotTarget, p.now.gotBody, p.now.gotHeader = r.URL.RequestURI(), string(body), r.Header.Clone()
	maps.Copy(w.Header(), p.now.answerHeader)
	for rest := p.now.answer; rest != ""; {
		n := min(97, len(rest))
		io.WriteString(w, rest[:n])
		http.NewResponseController(w).Flush()
		rest = rest[n:]
	}
}

// play sends a turn and returns the id under which it is in the books.
func (p *recordedProvider) play(h *house, k key, x *turn) string {
	h.t.Helper()
	p.now = x
	req, _ := http.NewRequest(x.method, h.gateway+x.target, strings.NewReader(x.body))
	for name, values := range x.header {
		for _, v := range values {
			req.Header.Add(name, strings.ReplaceAll(v, "$key", k.Secret))
		}
	}
	resp, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	toProvider, toClient := x.asForwarded()
	switch {
	case err != nil || resp.StatusCode != http.StatusOK:
		h.t.Errorf("%s: %d %v %s", x.name, resp.StatusCode, err, got)
	case string(got) != toClient:
		h.t.Errorf("%s: the client got\n%s\nwant\n%s", x.name, got, toClient)
	case x.gotTarget != x.target || x.gotBody != toProvider:
		h.t.Errorf("%s: the provider got %s\n%s\nwant %s\n%s", x.name, x.gotTarget, x.gotBody, x.target, toProvider)
	case resp.Header.Get("Content-Type") != x.answerHeader.Get("Content-Type"):
		h.t.Errorf("%s: header %v", x.name, resp.Header)
	}
	id := resp.Header.Get("X-Request-Id")
	x.checkHeader(h, id)
	return id
}

// asForwarded is what the provider and the client are to get: the same bytes,
// except that a chat stream whose client asked for no usage is made to carry
// it, and loses it again on the way back.
func (x *turn) asForwarded() (toProvider, toClient string) {
	streams, asks := strings.Contains(x.body, `"stream":true`), strings.Contains(x.body, "include_usage")
	if !strings.HasPrefix(x.target, "/v1/chat/") || !streams || asks {
		return x.body, x.answer
	}
	var kept []string
	for _, frame := range strings.SplitAfter(x.answer, "\n\n") {
		if !strings.Contains(frame, `"choices":[],`) {
			kept = append(kept, frame)
		}
	}
	return strings.TrimSuffix(x.body, "}") + `,"stream_options":{"include_usage":true}}`, strings.Join(kept, "")
}

// checkHeader holds what the provider got against an allow-list of its own.
func (x *turn) checkHeader(h *house, id string) {
	h.t.Helper()
	want := http.Header{"X-Request-Id": {id}, "Accept-Encoding": {"identity"}, "Content-Length": {fmt.Sprint(len(x.gotBody))}}
	for name, values := range x.header {
		switch name {
		case "Accept", "Accept-Language", "Content-Type", "User-Agent", "Anthropic-Beta", "Anthropic-Version", "Anthropic-Dangerous-Direct-Browser-Access":
			want[name] = values
		case "X-Api-Key":
			want[name] = []string{canary}
		case "Authorization":
			want[name] = []string{"Bearer " + canary}
		}
		if strings.HasPrefix(name, "X-Stainless-") {
			want[name] = values
		}
	}
	if !maps.EqualFunc(want, x.gotHeader, func(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }) {
		h.t.Errorf("%s: the provider got the header\n%v\nwant\n%v", x.name, x.gotHeader, want)
	}
}

// giveCredential seals the provider's key into the one upstream.
func giveCredential(h *house) {
	h.t.Helper()
	_, answer := h.manage("GET", "/admin/v1/upstreams", "")
	id := between([]byte(compact(answer)), `"id":"`, `"`)
	if status, answer := h.manage("PATCH", "/admin/v1/upstreams/"+string(id), `{"credential":"`+canary+`"}`); status != http.StatusOK {
		h.t.Fatalf("setting the credential: %d %s", status, answer)
	}
}

// probe is how Claude Code begins: any answer of HTTP satisfies it, and none
// may be worth anything without a key.
func probe(h *house) {
	h.t.Helper()
	first, header, _ := readMessage(h.t, "claude-code/0.request", true)
	req, _ := http.NewRequest("HEAD", h.gateway+"/", nil)
	req.Header = header
	resp, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusUnauthorized || len(bytes.TrimSpace(body)) > 0 {
		h.t.Errorf("%s: %d %s", first, resp.StatusCode, body)
	}
}
