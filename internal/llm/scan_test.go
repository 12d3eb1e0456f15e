package llm

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"gatehouse"
)

const chatBody = `{"model":"grok-4","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"What is the capital of France? Answer in one sentence, please, and add a remark about its river and its bridges."}],"temperature":0.7,"top_p":1,"max_tokens":256,"stream":true,"stream_options":{"include_usage":false},"user":"user-1234","presence_penalty":0,"frequency_penalty":0}`

func chat(t testing.TB) *Route {
	r, m := Classify("POST", "/v1/chat/completions")
	if m != Found {
		t.Fatal("chat is no route")
	}
	return &r
}

func TestScanReadsWhatAdmissionNeeds(t *testing.T) {
	r, _ := Classify("POST", "/v1/responses")
	b, err := Scan(&r, "application/json; charset=utf-8", []byte(`{"mod\u0065l":"a/b:c","n":null,"store":false,"background":true,
		"previous_response_id":"resp_1","conversation":{"id":"conv_1"},"prompt_cache_key":"k","service_tier":"flex",
		"user":"u","max_output_tokens":9,"stream":null,"input":[{"role":"user","content":"hé"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if b.Model != "a/b:c" || b.N != 1 || b.Store || !b.Background || b.PreviousResponseID != "resp_1" || b.Conversation != "conv_1" ||
		b.PromptCacheKey != "k" || b.ServiceTier != "flex" || b.User != "u" || b.MaxTokens != 9 || b.Stream || b.ItemReference {
		t.Errorf("%+v", b)
	}
}

// What a request may cost is reserved by these, so no spelling of them may make
// it look cheaper than it is.
func TestScanCountsAllThatIsAskedFor(t *testing.T) {
	for _, c := range []struct {
		path, body          string
		max, answers, least int64
	}{
		{"chat/completions", `{"model":"m","max_tokens":1,"max_completion_tokens":9000}`, 9000, 1, 0},
		{"chat/completions", `{"model":"m","max_completion_tokens":9000,"max_output_tokens":1}`, 9000, 1, 0},
		{"completions", `{"model":"m","prompt":["a","b","c"],"max_tokens":7}`, 7, 3, 0},
		{"completions", `{"model":"m","prompt":[[1,2],[3]],"best_of":20,"n":2}`, 0, 40, 3},
		{"completions", `{"model":"m","prompt":[1,2,3],"n":2,"best_of":null}`, 0, 2, 3},
		{"embeddings", `{"model":"m","input":[[1,2,3,4],[5,6,7,8]]}`, 0, 1, 8},
	} {
		r, _ := Classify("POST", "/v1/"+c.path)
		b, err := Scan(&r, "application/json", []byte(c.body))
		if err != nil || b.MaxTokens != c.max || b.N != c.answers || b.EstimatePrompt() < c.least {
			t.Errorf("%s: %d tokens, %d answers, a prompt of %d, %v", c.body, b.MaxTokens, b.N, b.EstimatePrompt(), err)
		}
	}
	r, _ := Classify("POST", "/v1/completions")
	if _, err := Scan(&r, "application/json", []byte(`{"model":"m","best_of":128,"prompt":["a"`+strings.Repeat(`,"a"`, 64)+`]}`)); err == nil {
		t.Error("more answers than can be reserved")
	}
}

func TestScanRefusesBodiesThatTwoReadersReadDifferently(t *testing.T) {
	deep := `{"model":"m","x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`
	many := `{"model":"m"` + strings.Repeat(`,"a":1`, 2) + `}`
	for _, c := range []struct{ body, names string }{
		{`{"model":"a","model":"b"}`, "model: appears twice"},
		{`{"model":"a","mod\u0065l":"b"}`, "model: appears twice"},
		{`{"model":"a","MODEL":"b"}`, "did you mean model"},
		{`{"model":"a","\u004dodel":"b"}`, "did you mean model"},
		{`{"model":"a","maxTokens":1}`, "did you mean max_tokens"},
		{`{"model":"a","ſtream":true}`, "did you mean stream"},
		{`{"model":"a","max-tokens":1}`, "did you mean max_tokens"},
		{`{"model":"a"} {}`, "bytes after"},
		{`{"model":"a"}x`, "bytes after"},
		{"{\"model\":\"a\xff\"}", "not valid UTF-8"},
		{`{"model":"\ud800"}`, "bad escape"},
		{`[{"model":"a"}]`, "expected an object"},
		{``, "expected an object"},
		{`{"model":"a"`, "expected a comma"},
		{`{"model":"a",}`, "expected a member name"},
		{`{"model":7}`, "model: must be a string"},
		{`{"model":""}`, "model: must be a string"},
		{`{"model":null}`, "model: must be a string"},
		{`{}`, "model: is required"},
		{`{"model":"a","stream":"true"}`, "stream: must be true or false"},
		{`{"model":"a","max_tokens":-1}`, "max_tokens: must be an integer"},
		{`{"model":"a","max_tokens":1e3}`, "max_tokens: must be an integer"},
		{`{"model":"a","n":0}`, "n: must be an integer from 1"},
		{`{"model":"a","user":["u"]}`, "user: must be a string"},
		{`{"model":"a","stream_options":{"include_usage":false,"include_usage":true}}`, "include_usage: appears twice"},
		{`{"model":"a","stream_options":{"Include_Usage":true}}`, "did you mean include_usage"},
		{`{"model":"a","stream_options":[]}`, "stream_options: must be an object"},
		{deep, "nested deeper than 64"},
		{many, "a: appears twice"},
		{"{\"model\":\"a\",\"x\":\"\n\"}", "control character"},
	} {
		_, err := Scan(chat(t), "application/json", []byte(c.body))
		if !errors.Is(err, gatehouse.InvalidArgument) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: %v, want %q", clip(c.body), err, c.names)
		}
	}
}

func TestNestingIsAllowedToTheLimit(t *testing.T) {
	body := `{"model":"m","x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`
	if _, err := Scan(chat(t), "application/json", []byte(body)); err != nil {
		t.Error(err)
	}
}

func TestWrongContentTypesAreTold(t *testing.T) {
	edits, _ := Classify("POST", "/v1/images/edits")
	get, _ := Classify("GET", "/v1/responses/resp_1")
	cancel, _ := Classify("POST", "/v1/responses/resp_1/cancel")
	for _, c := range []struct {
		r    *Route
		kind string
		body string
		want Fault
	}{
		{chat(t), "text/plain", chatBody, MediaType},
		{chat(t), "", chatBody, MediaType},
		{chat(t), "multipart/form-data; boundary=x", chatBody, MediaType},
		{&edits, "multipart/form-data", "", MediaType},
		{&get, "", "{}", Invalid},
	} {
		if _, err := Scan(c.r, c.kind, []byte(c.body)); err == nil || FaultOf(err) != c.want {
			t.Errorf("%s %q: %v", c.r.Path, c.kind, err)
		}
	}
	if _, err := Scan(&cancel, "application/json", []byte("{}")); err != nil {
		t.Error(err)
	}
}

func TestReferencesToStoredItemsAreSeen(t *testing.T) {
	r, _ := Classify("POST", "/v1/responses")
	for input, want := range map[string]bool{
		`"hello"`:                         false,
		`[{"role":"user","content":"x"}]`: false,
		`[{"type":"message","id":"msg_1","role":"assistant","content":[]}]`: false,
		`[{"type":"item_reference","id":"msg_1"}]`:                          true,
		`[{"id":"msg_1"}]`:                                                          true,
		`[{"type":null,"id":"msg_1"}]`:                                              true,
		`[{"role":"user"},{"\u0069d":"rs_1"}]`:                                      true,
		`[{"type":"message","type":"item_reference","id":"m"}]`:                     true,
		`[{"t\u0079pe":"item_\u0072eference","id":"msg_1"}]`:                        true,
		`[{"type":"image_generation_call","id":"ig_1"}]`:                            true,
		`[{"type":"image_generation_call","id":"ig_1","result":null}]`:              true,
		`[{"type":"image_generation_call","id":"ig_1","result":"iVBORw0KGgo="}]`:    false,
		`[{"type":"function_call_output","call_id":"c","output":"item_reference"}]`: false,
	} {
		b, err := Scan(&r, "application/json", []byte(`{"model":"m","input":`+input+`}`))
		if err != nil || b.ItemReference != want {
			t.Errorf("%s: %v %v", input, b.ItemReference, err)
		}
	}
}

func TestRewriteChangesOnlyWhatItMust(t *testing.T) {
	for _, c := range []struct {
		in, model string
		ask       bool
		want      string
	}{
		{`{"model":"a","stream":true}`, "a", false, ``},
		{`{"model":"a"}`, "a", true, ``},
		{`{"model":"a","stream":true,"stream_options":{"include_usage":true}}`, "a", true, ``},
		{` {"model" : "a" ,"stream":true} `, "b/c", false, ` {"model" : "b/c" ,"stream":true} `},
		{`{"model":"a","stream":true}`, "a", true, `{"model":"a","stream":true,"stream_options":{"include_usage":true}}`},
		{`{"stream":true,"stream_options":{ },"model":"a"}`, "b", true, `{"stream":true,"stream_options":{"include_usage":true },"model":"b"}`},
		{`{"model":"a","stream_options":null,"stream":true}`, "b", true, `{"model":"b","stream_options":{"include_usage":true},"stream":true}`},
		{`{"stream_options":{"x":1},"model":"a","stream":true}`, "a", true, `{"stream_options":{"include_usage":true,"x":1},"model":"a","stream":true}`},
		{`{"model":"a","stream":true,"stream_options":{"include_usage":false}}`, "a", true, `{"model":"a","stream":true,"stream_options":{"include_usage":true}}`},
	} {
		in := []byte(c.in)
		b, err := Scan(chat(t), "application/json", in)
		if err != nil {
			t.Fatalf("%s: %v", c.in, err)
		}
		got := b.Rewrite(in, c.model, c.ask)
		if c.want == "" {
			if &got[0] != &in[0] || len(got) != len(in) {
				t.Errorf("%s: copied without need", c.in)
			}
			continue
		}
		if string(got) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestEstimateLeavesPicturesOutOfTheProse(t *testing.T) {
	picture := strings.Repeat("iVBORw0KGgo", 1000)
	for _, v := range []string{`"data:image/png;base64,` + picture + `"`, `"` + picture + `"`} {
		b, err := Scan(chat(t), "application/json", []byte(`{"model":"m","messages":[{"content":[{"image_url":`+v+`}]}]}`))
		if err != nil || b.EstimatePrompt() < 500 || b.EstimatePrompt() > 1500 {
			t.Errorf("%d %v", b.EstimatePrompt(), err)
		}
	}
}

// top is what jsontext makes of a body: whether it is one object, and its
// members by decoded name; ok is false also when it nests too deep.
func top(body []byte) (members map[string][]jsontext.Value, ok bool) {
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	members = map[string][]jsontext.Value{}
	if d.PeekKind() != '{' {
		return nil, false
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, false
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, false
		}
		key := name.String()
		v, err := d.ReadValue()
		if err != nil || depth(v) > MaxDepth-1 {
			return nil, false
		}
		members[key] = append(members[key], v.Clone())
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, false
	}
	_, err := d.ReadToken()
	return members, errors.Is(err, io.EOF)
}

func depth(v jsontext.Value) (most int) {
	d := jsontext.NewDecoder(bytes.NewReader(v), jsontext.AllowDuplicateNames(true))
	for {
		if _, err := d.ReadToken(); err != nil {
			return most
		}
		most = max(most, d.StackDepth())
	}
}

// FuzzScan holds the hand-written scanner to jsontext: a flaw of syntax exactly
// where jsontext sees one, no repeated names admitted, and the same model, also
// after a rewrite.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		chatBody, `{"mod\u0065l":"a"}`, `{"model":"a","model":"b"}`, `{"model":"é\ud83d\ude00","x":[1.5e-3,true,null,{}]}`,
		`{"model":"a","stream":true,"stream_options":{"include_usage":false,"x":[]}}`, "\ufeff{}", `{"model":"a","":0}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := Scan(chat(t), "application/json", body)
		members, ok := top(body)
		if err != nil {
			if syntax := strings.Contains(gatehouse.Public(err), "not one valid JSON object"); syntax && ok {
				t.Fatalf("jsontext admits %q: %v", body, err)
			}
			return
		}
		if !ok {
			t.Fatalf("jsontext refuses %q", body)
		}
		for name, values := range members {
			if len(values) > 1 {
				t.Fatalf("%q twice in %q", name, body)
			}
		}
		sameModel(t, body, b.Model, members)
		out := b.Rewrite(body, "other/model", true)
		members, ok = top(out)
		if !ok {
			t.Fatalf("rewritten %q to %q", body, out)
		}
		sameModel(t, out, "other/model", members)
		if again, err := Scan(chat(t), "application/json", out); err != nil || again.Stream && !again.IncludeUsage {
			t.Fatalf("%q rewritten to %q: %v", body, out, err)
		}
	})
}

func sameModel(t *testing.T, body []byte, model string, members map[string][]jsontext.Value) {
	t.Helper()
	var want struct {
		Model string `json:"model"`
	}
	if err := json.Unmarshal(body, &want); err != nil || want.Model != model {
		t.Fatalf("encoding/json reads %q, we %q: %v in %q", want.Model, model, err, body)
	}
	v, err := jsontext.AppendUnquote(nil, members["model"][0])
	if err != nil || string(v) != model {
		t.Fatalf("jsontext reads %q, we %q in %q", v, model, body)
	}
}

func BenchmarkScan400B(b *testing.B) { benchScan(b, []byte(chatBody)) }
func BenchmarkScan41KB(b *testing.B) { benchScan(b, bigBody(41<<10)) }
func BenchmarkScan1MB(b *testing.B)  { benchScan(b, bigBody(1<<20)) }
func BenchmarkScanEsc1M(b *testing.B) {
	benchScan(b, []byte(`{"model":"m","x":"`+strings.Repeat(`\n`, 1<<19)+`"}`))
}

func bigBody(n int) []byte {
	return []byte(`{"model":"grok-4","messages":[{"role":"user","content":"` + strings.Repeat("Lorem ipsum dolor sit amet. ", n/28) + `"}],"stream":true}`)
}

func benchScan(b *testing.B, body []byte) {
	r := chat(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Scan(r, "application/json", body); err != nil {
			b.Fatal(err)
		}
	}
}
