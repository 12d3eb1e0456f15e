package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse"
)

// responder is an upstream with stored responses.
func responder(asked *atomic.Int64) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.Path != "/v1/responses" {
			asked.Add(1)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"seen":%q}`, r.Method+" "+r.URL.RequestURI())
			return
		}
		id := fmt.Sprintf("resp_%d", n.Add(1))
		usage := `"usage":{"input_tokens":4,"output_tokens":2,"total_tokens":6}`
		if strings.Contains(string(b), `"stream":true`) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":%q}}\n\n", id)
			fmt.Fprintf(w, "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":%q,%s}}\n\n", id, usage)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":%q,"object":"response","status":"completed","output":[],%s}`, id, usage)
	}
}

// TestTeamsDoNotShareObjects has two teams behind one credential: neither can
// read, delete, cancel or continue what the other made.
func TestTeamsDoNotShareObjects(t *testing.T) {
	var asked atomic.Int64
	w := newWorld(t)
	up := w.upstream("one", serve(t, responder(&asked)))
	mine, theirs := w.key(0), w.key(1)
	limited := w.key(0, func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:large", "api-key:endpoint:*"} })
	w.start()
	for _, body := range []string{`{"model":"small","input":"x"}`, `{"model":"small","input":"x","stream":true}`} {
		if r := w.post(mine, "/v1/responses", body); r.status != 200 {
			t.Fatal(r)
		}
	}
	for i, id := range []string{"resp_1", "resp_2"} {
		for _, c := range [][2]string{{"GET", ""}, {"GET", "/input_items?limit=3"}, {"POST", "/cancel"}, {"DELETE", ""}} {
			before := asked.Load()
			r := w.send(c[0], theirs, "/v1/responses/"+id+c[1], nil)
			missing := w.send(c[0], theirs, "/v1/responses/resp_9"+c[1], nil)
			if r.status != 404 || strings.ReplaceAll(r.body, id, "resp_9") != missing.body || asked.Load() != before {
				t.Error("another team's", c, r, missing)
			}
			if r := w.send(c[0], limited, "/v1/responses/"+id+c[1], nil); r.status != 403 {
				t.Error("beyond the key's ACL", c, r)
			}
			if r := w.send(c[0], mine, "/v1/responses/"+id+c[1], nil); r.status != 200 || !strings.Contains(r.body, c[0]+" /v1/responses/"+id+c[1]) {
				t.Error("one's own", c, r)
			}
		}
		body := fmt.Sprintf(`{"model":"small","input":"x","previous_response_id":%q}`, id)
		if r := w.post(theirs, "/v1/responses", body); r.status != 404 {
			t.Error("continued another team's", r)
		}
		if r := w.post(mine, "/v1/responses", body); r.status != 200 {
			t.Error(r)
		}
		if o, ok := w.journal.Object(id); !ok || o.TeamID != w.teams[0] || o.UpstreamID != up.ID {
			t.Error(i, o)
		}
	}
	if r := w.post(mine, "/v1/responses", `{"model":"small","input":[{"type":"item_reference","id":"msg_1"}]}`); r.status != 400 {
		t.Error("item reference", r)
	}
	for _, u := range w.usage() {
		if u.Endpoint != "/v1/responses" || u.Usage.Tokens() != 6 {
			t.Errorf("%+v", u)
		}
	}
}

// TestAContinuationGoesWhereItsObjectIs has two upstreams and no choice.
func TestAContinuationGoesWhereItsObjectIs(t *testing.T) {
	var a, b atomic.Int64
	count := func(n *atomic.Int64, next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { n.Add(1); next(w, r) }
	}
	var unused atomic.Int64
	w := newWorld(t)
	w.upstream("a", serve(t, count(&a, responder(&unused))), func(u *gatehouse.Upstream) { u.Serves[0].Weight = 1000000 })
	w.upstream("b", serve(t, count(&b, responder(&unused))))
	key := w.key(0)
	w.start()
	if r := w.post(key, "/v1/responses", `{"model":"small","input":"x"}`); r.status != 200 || a.Load() != 1 {
		t.Fatal(r)
	}
	o, _ := w.journal.Object("resp_1")
	w.g.cooling.note(cold{upstream: o.UpstreamID}, w.now(), maxCooldown)
	w.post(key, "/v1/responses", `{"model":"small","input":"x","previous_response_id":"resp_1"}`)
	w.get(key, "/v1/responses/resp_1")
	if a.Load() != 3 || b.Load() != 0 {
		t.Error(a.Load(), b.Load())
	}
}

func TestStickyChoicesStay(t *testing.T) {
	var hits [3]atomic.Int64
	w := newWorld(t)
	for i := range hits {
		w.upstream(fmt.Sprint("u", i), serve(t, func(rw http.ResponseWriter, r *http.Request) { hits[i].Add(1); good(rw, r) }))
	}
	key := w.key(0)
	w.start()
	for range 10 {
		w.post(key, "/v1/chat/completions", chat, "X-Grok-Conv-Id", "conversation")
	}
	full := 0
	for i := range hits {
		if n := hits[i].Swap(0); n == 10 {
			full++
		} else if n != 0 {
			t.Error("spread", n)
		}
	}
	for i := range 60 {
		w.post(key, "/v1/chat/completions", strings.Replace(chat, "{", fmt.Sprintf(`{"prompt_cache_key":"k%d",`, i), 1))
	}
	for i := range hits {
		if full != 1 || hits[i].Load() < 3 {
			t.Error("not spread", i, hits[i].Load())
		}
	}
}

func TestModelListsShowWhatTheKeyMayUse(t *testing.T) {
	w := newWorld(t)
	w.upstream("one", serve(t, good), func(u *gatehouse.Upstream) {
		u.Serves = []gatehouse.Serve{{Model: "small"}, {Model: "deep/model"}, {Model: "free"}}
	})
	w.alias("nick", "small")
	key := w.key(0)
	one := w.key(0, func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:model:small", "api-key:endpoint:*"} })
	w.start()
	r := w.get(key, "/v1/models")
	if !strings.Contains(r.body, `"id":"deep/model"`) || !strings.Contains(r.body, `"aliases":["nick"]`) || strings.Contains(r.body, `"free"`) || strings.Contains(r.body, `"large"`) {
		t.Error(r)
	}
	if r := w.get(one, "/v1/models"); strings.Contains(r.body, "deep") || !strings.Contains(r.body, `"object":"list"`) {
		t.Error(r)
	}
	for path, want := range map[string]int{
		"/v1/models/nick": 200, "/v1/models/deep/model": 200, "/v1/models/deep%2Fmodel": 200, "/v1/models/large": 404, "/v1/models/free": 404,
		"/v1/language-models": 200, "/v1/language-models/small": 200, "/v1/embedding-models/small": 404, "/v1/image-generation-models": 200,
	} {
		if r := w.get(key, path); r.status != want {
			t.Error(path, r)
		}
	}
	if r := w.get(one, "/v1/models/deep/model"); r.status != 404 {
		t.Error(r)
	}
	if r := w.get(key, "/v1/language-models"); !strings.Contains(r.body, `"prompt_text_token_price":10`) || !strings.Contains(r.body, `"fingerprint":"fp_`) {
		t.Error(r)
	}
}

func TestKeysDescribeThemselves(t *testing.T) {
	w := newWorld(t)
	key := w.key(0)
	w.start()
	r := w.get(key, "/v1/api-key")
	for _, m := range []string{"redacted_api_key", "user_id", "name", "create_time", "modify_time", "modified_by", "team_id", "acls", "api_key_id", "team_blocked", "api_key_blocked", "api_key_disabled"} {
		if !strings.Contains(r.body, `"`+m+`":`) {
			t.Error(m, "is missing")
		}
	}
	if !strings.Contains(r.body, `"gthk_...`+key[len(key)-4:]) || strings.Contains(r.body, key) {
		t.Error(r)
	}
	if r := w.get(key, "/v1/me"); r.status != 200 || !strings.Contains(r.body, `"zdr_status":"no_zdr"`) || !strings.Contains(r.body, w.teams[0].String()) {
		t.Error(r)
	}
}
