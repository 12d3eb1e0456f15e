package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/meter"
)

// TestTheContractsTable walks the rows of contract.md "Gateway" that are
// decided here.
func TestTheContractsTable(t *testing.T) {
	w := newWorld(t)
	up := serve(t, good)
	w.upstream("one", up, func(u *gatehouse.Upstream) {
		u.Families = []gatehouse.Family{gatehouse.FamilyChat, gatehouse.FamilyMessages}
	})
	ok := w.key(0)
	with := func(f func(*gatehouse.Key)) string { return w.key(0, f) }
	past := time.Now().Add(-time.Hour)
	expired := with(func(k *gatehouse.Key) { k.ExpireTime = past })
	oldSecret := with(func(k *gatehouse.Key) { k.Secrets[0].ExpireTime = past })
	disabled := with(func(k *gatehouse.Key) { k.Disabled = true })
	blocked := with(func(k *gatehouse.Key) { k.Blocked = true })
	elsewhere := with(func(k *gatehouse.Key) { k.IPRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	noChat := with(func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:*", "api-key:endpoint:embed"} })
	noModel := with(func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:large", "api-key:endpoint:*"} })
	nothing := with(func(k *gatehouse.Key) { k.ACL = nil })
	oncePerMinute := with(func(k *gatehouse.Key) { k.Limits.QPM = 1 })
	management := gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, gatehouse.NewID()).Reveal()
	unknown := gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, gatehouse.NewID()).Reveal()
	w.alias("nick", "small")
	w.start(func(c *Config) { c.MaxBody = 64 << 10 })
	if r := w.post(oncePerMinute, "/v1/chat/completions", chat); r.status != 200 {
		t.Fatal(r)
	}
	deep := `{"model":"small","messages":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "}"
	for _, c := range []struct {
		name, key, path, body string
		status                int
		want                  string
	}{
		{"no credential", "", "/v1/chat/completions", chat, 401, `{"code":"unauthenticated:no-credentials","error":"No credentials provided"}`},
		{"no credential, messages", "", "/v1/messages", chat, 401, `"type":"authentication_error"`},
		{"no credential, unknown route", "", "/v1/nothing", chat, 401, "unauthenticated:no-credentials"},
		{"malformed key", "nonsense", "/v1/chat/completions", chat, 400, `{"code":"invalid-argument","error":"Incorrect API key provided: ***. `},
		{"unknown key", unknown, "/v1/chat/completions", chat, 400, `"Incorrect API key provided: gt***` + unknown[len(unknown)-2:]},
		{"unknown key, messages", unknown, "/v1/messages", chat, 401, `"type":"authentication_error"`},
		{"management key", management, "/v1/chat/completions", chat, 400, "Incorrect API key provided"},
		{"management key, messages", management, "/v1/messages/count_tokens", chat, 401, "authentication_error"},
		{"expired", expired, "/v1/chat/completions", chat, 403, "has expired"},
		{"expired secret", oldSecret, "/v1/chat/completions", chat, 403, "has expired"},
		{"disabled", disabled, "/v1/chat/completions", chat, 403, "is disabled"},
		{"blocked", blocked, "/v1/chat/completions", chat, 403, "is blocked"},
		{"IP", elsewhere, "/v1/chat/completions", chat, 403, "IP address 127.0.0.1"},
		{"endpoint ACL", noChat, "/v1/chat/completions", chat, 403, "Access to the chat endpoint is denied"},
		{"model ACL", noModel, "/v1/chat/completions", chat, 403, "against small"},
		{"model ACL by alias", noModel, "/v1/chat/completions", strings.Replace(chat, "small", "nick", 1), 403, "against small"},
		{"no ACL", nothing, "/v1/chat/completions", chat, 403, "permission-denied"},
		{"unknown model", ok, "/v1/chat/completions", strings.Replace(chat, "small", "nope", 1), 404, "The model nope does not exist or your team " + w.teams[0].String()},
		{"unknown route", ok, "/v1/nothing", chat, 404, "not-found"},
		{"route outside", ok, "/v2/chat/completions", chat, 404, "not-found"},
		{"dotted route", ok, "/v1/../v1/chat/completions", chat, 404, "not-found"},
		{"unpriced", ok, "/v1/chat/completions", strings.Replace(chat, "small", "free", 1), 400, "no price in force"},
		{"family", ok, "/v1/embeddings", `{"model":"small","input":"x"}`, 400, "speaks embeddings"},
		{"duplicate model", ok, "/v1/chat/completions", `{"model":"small","model":"large","messages":[]}`, 400, "model"},
		{"MODEL", ok, "/v1/chat/completions", `{"model":"small","MODEL":"large","messages":[]}`, 400, "MODEL"},
		{"escaped member", ok, "/v1/chat/completions", `{"model":"small","mod\u0065l":"large","messages":[]}`, 400, "model"},
		{"trailing bytes", ok, "/v1/chat/completions", chat + `{}`, 400, "bytes after"},
		{"not UTF-8", ok, "/v1/chat/completions", strings.Replace(chat, "hello", "\xff", 1), 400, "UTF-8"},
		{"too deep", ok, "/v1/chat/completions", deep, 400, "invalid-argument"},
		{"no model", ok, "/v1/chat/completions", `{"messages":[]}`, 400, "model"},
		{"empty", ok, "/v1/chat/completions", ``, 400, "invalid-argument"},
		{"deferred", ok, "/v1/chat/completions", `{"model":"small","deferred":true,"messages":[]}`, 400, "deferred"},
		{"too large", ok, "/v1/chat/completions", `{"model":"` + strings.Repeat("x", 65<<10) + `"}`, 413, "larger than 65536 bytes"},
		{"our limit", oncePerMinute, "/v1/chat/completions", chat, 429, "rate limit (qpm)"},
		{"unknown object", ok, "/v1/responses/resp_none", "", 404, "not-found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.post(c.key, c.path, c.body)
			if strings.HasPrefix(c.path, "/v1/responses/") {
				r = w.get(c.key, c.path)
			}
			if r.status != c.status || !strings.Contains(r.body, c.want) {
				t.Errorf("got %d %s %v\nwant %d %s", r.status, r.body, r.err, c.status, c.want)
			}
			if r.header.Get("X-Request-Id") == "" || r.header.Get("Content-Type") != "application/json" {
				t.Errorf("header %v", r.header)
			}
		})
	}
	if n := len(w.usage()); n != 1 {
		t.Errorf("%d usage records: a refused request leaves none", n)
	}
	for _, secret := range []string{ok, unknown, management, "provider-secret"} {
		if strings.Contains(w.logs.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

func TestWrongContentTypesMethodsAndEncodings(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	key := w.key(0)
	w.start()
	for _, c := range []struct {
		method string
		header []string
		status int
	}{
		{"POST", []string{"Content-Type", "text/plain"}, 415},
		{"POST", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
		{"POST", nil, 415},
		{"POST", []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, 415},
		{"POST", []string{"Content-Type", "application/json; charset=utf-8"}, 200},
		{"PUT", []string{"Content-Type", "application/json"}, 405},
	} {
		if r := w.send(c.method, key, "/v1/chat/completions", strings.NewReader(chat), c.header...); r.status != c.status {
			t.Errorf("%s %v: %d %s", c.method, c.header, r.status, r.body)
		} else if c.status == 405 && r.header.Get("Allow") != "POST" {
			t.Error("405 without Allow")
		}
	}
}

func TestOpenAIErrors(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	w.key(0)
	w.start(func(c *Config) { c.OpenAIErrors = true })
	r := w.post("nonsense", "/v1/chat/completions", chat)
	if r.status != 401 || !strings.Contains(r.body, `"code":"invalid_api_key"`) {
		t.Error(r)
	}
	if r := w.post("nonsense", "/v1/messages", chat); r.status != 401 || !strings.Contains(r.body, `{"type":"error","error":{"type":"authentication_error"`) {
		t.Error(r)
	}
}

func TestCredentialsInEveryHeader(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	key, other := w.key(0), w.key(1)
	w.start()
	for _, name := range []string{"X-Api-Key", "Api-Key"} {
		if r := w.post("", "/v1/chat/completions", chat, name, key); r.status != 200 {
			t.Error(name, r)
		}
	}
	if r := w.post(key, "/v1/chat/completions", chat, "X-Api-Key", other); r.status != 400 {
		t.Error("two credentials", r)
	}
}

func TestCannotTellIs503(t *testing.T) {
	w := newWorld(t)
	key := w.key(0)
	w.listen()
	r := w.post(key, "/v1/chat/completions", chat)
	if r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Error(r)
	}
	if r := w.post("nonsense", "/v1/chat/completions", chat); r.status != 400 {
		t.Error("what no key can look like is refused even so", r)
	}
	if r := w.get("", "/readyz"); r.status != 503 {
		t.Error(r)
	}
	if r := w.get("", "/healthz"); r.status != 200 {
		t.Error(r)
	}
}

func TestAStrictKeyNeedsALease(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	strict := w.key(0, func(k *gatehouse.Key) { k.Strict = true })
	plain := w.key(0)
	offset := time.Duration(0)
	w.now = func() time.Time { return time.Now().Add(offset) }
	w.start()
	if r := w.post(strict, "/v1/chat/completions", chat); r.status != 200 {
		t.Fatal(r)
	}
	w.usage()
	w.g.c.Now = func() time.Time { return time.Now().Add(2 * time.Minute) }
	if r := w.post(strict, "/v1/chat/completions", chat); r.status != 503 || !strings.Contains(r.body, "strict") {
		t.Error(r)
	}
	if r := w.post(plain, "/v1/chat/completions", chat); r.status != 200 {
		t.Error(r)
	}
	w.g.c.Now = func() time.Time { return time.Now().Add(feed.MaxStale + time.Minute) }
	if r := w.post(plain, "/v1/chat/completions", chat); r.status != 503 {
		t.Error("stale beyond the bound", r)
	}
}

func TestLimitsShowOneVerdict(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	key := w.key(0, func(k *gatehouse.Key) { k.Limits = gatehouse.Limits{QPM: 2, TPM: 1000} })
	w.start()
	r := w.post(key, "/v1/chat/completions", chat)
	if r.status != 200 || r.header.Get("X-Ratelimit-Limit-Requests") != "2" || r.header.Get("X-Ratelimit-Remaining-Requests") != "1" ||
		r.header.Get("X-Ratelimit-Limit-Tokens") != "1000" {
		t.Error(r)
	}
	w.post(key, "/v1/chat/completions", chat)
	r = w.post(key, "/v1/chat/completions", chat)
	if r.status != 429 || r.header.Get("Retry-After") == "" || r.header.Get("X-Ratelimit-Remaining-Requests") != "0" || !strings.Contains(r.body, "2/2") {
		t.Error(r)
	}
}

func TestATruncatedUploadDispatchesNothing(t *testing.T) {
	asked := false
	w := newWorld(t)
	w.upstream("one", serve(t, func(http.ResponseWriter, *http.Request) { asked = true }))
	key := w.key(0)
	w.start(func(c *Config) { c.BodyTime = 50 * time.Millisecond })
	pr, pw := io.Pipe()
	go func() { io.WriteString(pw, chat[:20]) }()
	r := w.send("POST", key, "/v1/chat/completions", pr, "Content-Type", "application/json")
	pw.CloseWithError(errors.New("gone"))
	if r.status != 400 || asked {
		t.Error(r, asked)
	}
}

func TestBodiesInFlightAreBounded(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	key := w.key(0)
	w.start(func(c *Config) { c.MaxBodies = 10 })
	if r := w.post(key, "/v1/chat/completions", chat); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Error(r)
	}
	if n := w.g.bodies.Load(); n != 0 {
		t.Errorf("%d bytes stay charged", n)
	}
}

func TestClientAddressesCannotBeInvented(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	inside := w.key(0, func(k *gatehouse.Key) { k.IPRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	w.start()
	if r := w.post(inside, "/v1/chat/completions", chat, "X-Forwarded-For", "10.1.1.1"); r.status != 403 {
		t.Error("believed a stranger", r)
	}
	w.g.c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	if r := w.post(inside, "/v1/chat/completions", chat, "X-Forwarded-For", "10.1.1.1"); r.status != 200 {
		t.Error("did not believe its proxy", r)
	}
	if r := w.post(inside, "/v1/chat/completions", chat, "X-Forwarded-For", "10.1.1.1, 192.0.2.7"); r.status != 403 {
		t.Error("believed what stands left of a stranger", r)
	}
}

func TestAPanicIsOpaqueAndSettled(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	key := w.key(0)
	w.start(func(c *Config) {
		c.Lookup = func(context.Context, string) (meter.Object, error) { panic("secret-in-a-panic") }
	})
	r := w.post(key, "/v1/responses", `{"model":"small","input":"x","previous_response_id":"resp_1"}`)
	if r.status != 500 || !strings.Contains(r.body, `{"code":"internal","error":"internal error"}`) {
		t.Error(r)
	}
	if logs := w.logs.String(); strings.Contains(logs, "secret-in-a-panic") || !strings.Contains(logs, "panic in the gateway") {
		t.Error(logs)
	}
	if n := w.journal.Stats().Open; n != 0 {
		t.Errorf("%d records open", n)
	}
}

func TestLastUseIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good))
	key := w.key(0)
	w.start()
	w.post(key, "/v1/chat/completions", chat)
	w.post(key, "/v1/chat/completions", chat)
	if u := w.g.Used(); len(u) != 1 || u[0].Last4 != key[len(key)-4:] {
		t.Error(u)
	}
	if u := w.g.Used(); len(u) != 0 {
		t.Error(u)
	}
}
