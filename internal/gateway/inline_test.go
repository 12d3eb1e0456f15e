package gateway

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"gatehouse"
	"gatehouse/internal/library/assertion"
)

const (
	letterID  = "file_0190f3a2-0000-7000-8000-000000000001"
	pictureID = "file-0190f3a2-0000-7000-8000-000000000002"
	longID    = "file_0190f3a2-0000-7000-8000-000000000003"
	bigID     = "file_0190f3a2-0000-7000-8000-000000000004"
	hugeID    = "file_0190f3a2-0000-7000-8000-000000000005"
	strangeID = "file_0190f3a2-0000-7000-8000-000000000009"
)

// reading is a library of a few files, as its face answers gateways.
func reading(w http.ResponseWriter, r *http.Request) {
	give := func(name, kind, data string) {
		w.Header().Set(assertion.NameHeader, name)
		w.Header().Set(assertion.TypeHeader, kind)
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = io.WriteString(w, data)
	}
	switch strings.TrimPrefix(r.URL.Path, assertion.InlinePath) {
	case letterID:
		give("a%20letter.txt", "text/plain", "Dear you,\n\"hello\"")
	case pictureID:
		give("dot.png", "image/png", "\x89PNG")
	case longID:
		refuses(w, 429, gatehouse.ResourceExhausted, "its text is larger than 1048576 bytes")
	case bigID:
		give("big.txt", "text/plain", strings.Repeat("x", maxFileText))
	case hugeID:
		give("huge.png", "image/png", strings.Repeat("x", 3<<20))
	default:
		refuses(w, 404, gatehouse.NotFound, "no")
	}
}

// provider remembers the bodies it was sent.
type provider struct {
	mu     sync.Mutex
	bodies []string
}

func (p *provider) handle(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	p.bodies = append(p.bodies, string(b))
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/messages") {
		_, _ = io.WriteString(w, `{"id":"m","type":"message","content":[],"usage":{"input_tokens":1,"output_tokens":1}}`)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/responses") {
		_, _ = io.WriteString(w, `{"id":"resp_1","object":"response","status":"completed","output":[],"usage":{"input_tokens":4,"output_tokens":2,"total_tokens":6}}`)
		return
	}
	_, _ = io.WriteString(w, chatAnswer)
}

func (p *provider) sent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bodies
}

func parts(path, content string) string {
	if path == "/v1/responses" {
		return `{"model":"small","input":[{"role":"user","content":[` + content + `]}]}`
	}
	return `{"model":"small","max_tokens":9,"messages":[{"role":"user","content":[` + content + `]}]}`
}

// The provider gets the file and never its id, in its own family's words; the
// library is asked for it as for any request of the key.
func TestAFileOfTheLibraryIsSentInItsPlace(t *testing.T) {
	const text = `"File: a letter.txt\n\nDear you,\n\"hello\""`
	up, lib := new(provider), newShelf(t, reading)
	w := newWorld(t)
	w.upstream("one", serve(t, up.handle), func(u *gatehouse.Upstream) { u.Serves = []gatehouse.Serve{{Model: "small", As: "theirs"}} })
	key := w.key(0)
	w.start(lib.config)
	for i, c := range []struct{ path, content, want string }{
		{"/v1/chat/completions", `{"type":"file","file":{"file_id":"` + letterID + `"}},{"type":"file","file":{"file_id":"` + pictureID + `"}}`,
			`{"type":"text","text":` + text + `},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw=="}}`},
		{"/v1/responses", `{"type":"input_file","file_id":"` + letterID + `"},{"type":"input_image","file_id":"` + pictureID + `"}`,
			`{"type":"input_text","text":` + text + `},{"type":"input_image","image_url":"data:image/png;base64,iVBORw=="}`},
		{"/v1/messages", `{"type":"document","source":{"type":"file","file_id":"` + letterID + `"}},{"type":"document","source":{"type":"file","file_id":"` + pictureID + `"}}`,
			`{"type":"text","text":` + text + `},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw=="}}`},
	} {
		r := w.post(key, c.path, parts(c.path, c.content))
		want := strings.ReplaceAll(parts(c.path, c.want), `"small"`, `"theirs"`)
		want = strings.NewReplacer(`txt\n\nDear`, "txt"+`\u000a\u000a`+"Dear", `you,\n`, "you,"+`\u000a`).Replace(want)
		if got := up.sent(); r.status != 200 || len(got) != i+1 || got[i] != want {
			t.Errorf("%s: %+v\n got %s\nwant %s", c.path, r, got, want)
		}
		a := lib.last()
		if a.Team != w.teams[0] || a.Key.IsZero() || a.Method != "GET" || !strings.HasPrefix(a.Target, assertion.InlinePath+pictureID+"?") || a.Limit != 0 || a.Public {
			t.Errorf("%+v", a)
		}
	}
	w.eventually(func() bool { return w.g.bodies.Load() == 0 })
}

// A file that is named again takes room again, and is refused before it is
// written where there is none: a request costs no more memory than its bound.
func TestInlinedFilesHaveTheirRoomBeforeTheyAreWritten(t *testing.T) {
	up, lib := new(provider), newShelf(t, reading)
	w := newWorld(t)
	w.upstream("one", serve(t, up.handle))
	key := w.key(0)
	w.start(lib.config, func(c *Config) { c.MaxBody = 4 << 20 })
	part := `{"type":"image_url","image_url":{"file_id":"` + hugeID + `"}}`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := w.post(key, "/v1/chat/completions", parts("/v1/chat/completions", strings.Repeat(part+",", 15)+part))
	runtime.ReadMemStats(&after)
	if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; r.status != 413 || grown > 40 || len(up.sent()) > 0 {
		t.Errorf("%d, %d MiB were allocated: %s", r.status, grown, r.body)
	}
	w.eventually(func() bool { return w.g.bodies.Load() == 0 })
}

// What cannot be inlined is refused with the file's id, and nothing is sent.
func TestAFileThatCannotBeInlinedIsNamed(t *testing.T) {
	up, lib := new(provider), newShelf(t, reading)
	w := newWorld(t)
	w.upstream("one", serve(t, up.handle))
	key := w.key(0)
	noFiles := w.key(0, func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:*", "api-key:endpoint:chat"} })
	w.start(lib.config)
	file := func(id string) string { return `{"type":"file","file":{"file_id":"` + id + `"}}` }
	for name, c := range map[string]struct {
		key, path, content string
		status             int
		says               []string
	}{
		"unknown":           {key, "/v1/chat/completions", file(strangeID), 404, []string{strangeID, `"code":"not-found"`}},
		"to Anthropic's":    {key, "/v1/messages", `{"type":"document","source":{"type":"file","file_id":"` + strangeID + `"}}`, 404, []string{strangeID, "not_found_error"}},
		"no endpoint":       {noFiles, "/v1/chat/completions", file(letterID), 403, []string{"the files endpoint"}},
		"too long a text":   {key, "/v1/chat/completions", file(longID), 400, []string{longID, "1048576"}},
		"too much text":     {key, "/v1/chat/completions", strings.Repeat(file(bigID)+",", 4) + file(bigID), 400, []string{bigID, "4194304"}},
		"too many":          {key, "/v1/chat/completions", strings.Repeat(file(letterID)+",", 16) + file(letterID), 400, []string{"16", "17"}},
		"a text as image":   {key, "/v1/responses", `{"type":"input_image","file_id":"` + letterID + `"}`, 400, []string{letterID}},
		"a provider's id":   {key, "/v1/chat/completions", file("file-abc"), 400, []string{"file_id", "cannot tell whose"}},
		"in no known place": {key, "/v1/chat/completions", `{"type":"text","file_id":"` + letterID + `"}`, 400, []string{"file_id"}},
	} {
		r := w.post(c.key, c.path, parts(c.path, c.content))
		if r.status != c.status {
			t.Errorf("%s: %+v", name, r)
		}
		for _, word := range c.says {
			if !strings.Contains(r.body, word) {
				t.Errorf("%s: %s does not say %s", name, r.body, word)
			}
		}
	}
	if len(up.sent()) != 0 || len(w.usage()) != 0 {
		t.Error("something was forwarded", up.sent(), w.usage())
	}
	w.eventually(func() bool { return w.g.bodies.Load() == 0 })
	none := newWorld(t)
	none.upstream("one", serve(t, up.handle))
	key = none.key(0)
	none.start()
	if r := none.post(key, "/v1/chat/completions", parts("", file(letterID))); r.status != 400 || !strings.Contains(r.body, "cannot tell whose") {
		t.Errorf("without a library: %+v", r)
	}
}

// The text of files counts as the prompt that it is: for the limits, for the
// memory of bodies, and for the bound of one body.
func TestInlinedFilesAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		limits gatehouse.Limits
		change func(*Config)
		status int
	}{
		"as tokens":    {gatehouse.Limits{TPM: 1000}, func(*Config) {}, 429},
		"as a body":    {gatehouse.Limits{}, func(c *Config) { c.MaxBody = maxFileText }, 413},
		"as memory":    {gatehouse.Limits{}, func(c *Config) { c.MaxBodies = maxFileText / 2 }, 503},
		"within these": {gatehouse.Limits{TPM: 1 << 20}, func(c *Config) { c.MaxBody, c.MaxBodies = 2*maxFileText, 4*maxFileText }, 200},
	} {
		lib := newShelf(t, reading)
		w := newWorld(t)
		w.upstream("one", serve(t, new(provider).handle))
		key := w.key(0, func(k *gatehouse.Key) { k.Limits, k.ReserveTPM = c.limits, c.limits.TPM > 0 })
		w.start(lib.config, c.change)
		if r := w.post(key, "/v1/chat/completions", parts("", `{"type":"file","file":{"file_id":"`+bigID+`"}}`)); r.status != c.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		w.eventually(func() bool { return w.g.bodies.Load() == 0 })
	}
}
