package llm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"gatehouse"
)

const usageFrame = `data: {"id":"c","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}}`

func newTap(c TapConfig) *Tap {
	t := &Tap{}
	t.Reset(c)
	return t
}

func sse(frames ...string) string { return strings.Join(frames, "\n\n") + "\n\n" }

var helloFrame = `data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}],"usage":null}`

func TestTheUsageFrameWeAskedForIsLeftOut(t *testing.T) {
	in := sse(": keep-alive", helloFrame, usageFrame, "data: [DONE]")
	want := sse(": keep-alive", helloFrame, "data: [DONE]")
	for _, eol := range []string{"\n", "\r\n", "\r"} {
		in, want := strings.ReplaceAll(in, "\n", eol), strings.ReplaceAll(want, "\n", eol)
		for size := 1; size <= len(in); size++ {
			out, r := run(TapConfig{Family: gatehouse.FamilyChat, Kind: gatehouse.OpenAI, SSE: true, StripUsage: true}, []byte(in), size)
			if string(out) != want {
				t.Fatalf("eol %q size %d:\n%q\nwant\n%q", eol, size, out, want)
			}
			if !r.Seen || !r.Terminal || r.Usage.Tokens() != 29 || r.OutputBytes != 5 {
				t.Fatalf("eol %q size %d: %+v", eol, size, r)
			}
		}
	}
}

func TestBytesPassUncopiedWhenNothingIsLeftOut(t *testing.T) {
	p := []byte(sse(helloFrame, helloFrame))
	for _, strip := range []bool{false, true} {
		tap := newTap(TapConfig{Family: gatehouse.FamilyChat, SSE: true, StripUsage: strip})
		if out := tap.Write(p); &out[0] != &p[0] || len(out) != len(p) {
			t.Errorf("strip %v: copied", strip)
		}
	}
}

func TestNoByteOfAResponsePassesBeforeItsIDIsKnown(t *testing.T) {
	g := goldens(t)
	for _, name := range []string{"openai_responses", "openai_responses_stream"} {
		g := g[name]
		c := g.config(t)
		c.HoldID = true
		tap, passed := newTap(c), []byte(nil)
		for _, b := range g.bytes() {
			passed = append(passed, tap.Write([]byte{b})...)
			if len(passed) > 0 && tap.ObjectID() != g.ObjectID {
				t.Fatalf("%s: %q passed with id %q", name, passed, tap.ObjectID())
			}
		}
		if passed = append(passed, tap.Finish()...); !bytes.Equal(passed, g.bytes()) {
			t.Errorf("%s: bytes changed", name)
		}
	}
}

func TestAnAnswerThatHoldsNoIDPassesAtItsEnd(t *testing.T) {
	for _, in := range []string{`{"object":"x"}`, `not json`, `{"broken":`, ``} {
		out, r := run(TapConfig{Family: gatehouse.FamilyResponses, HoldID: true}, []byte(in), 2)
		if string(out) != in || r.ObjectID != "" {
			t.Errorf("%q became %q", in, out)
		}
	}
}

func TestFramesBeyondTheBoundPassAndStillReport(t *testing.T) {
	frame := `data: {"type":"response.completed","response":{"id":"resp_1","output":"` + strings.Repeat("x", 3<<20) +
		`","usage":{"input_tokens":7,"output_tokens":8,"total_tokens":15},"metadata":{}}}` + "\n\n"
	for _, size := range []int{len(frame), 64 << 10, 9999} {
		for _, hold := range []bool{false, true} {
			c := TapConfig{Family: gatehouse.FamilyResponses, Kind: gatehouse.OpenAI, SSE: true, HoldID: hold}
			out, r := run(c, []byte(frame), size)
			if string(out) != frame || !r.Terminal || !r.Seen || r.Usage.Tokens() != 15 || r.ObjectID != "resp_1" {
				t.Errorf("size %d hold %v: same %v, %+v", size, hold, string(out) == frame, r)
			}
		}
	}
}

func TestErrorsInsideAStreamAreNoticed(t *testing.T) {
	for family, frame := range map[gatehouse.Family]string{
		gatehouse.FamilyChat:      `data: {"code":"internal","error":"boom"}`,
		gatehouse.FamilyMessages:  "event: error\n" + `data: {"type":"error","error":{"type":"overloaded_error","message":"boom"}}`,
		gatehouse.FamilyResponses: `data: {"type":"error","code":null,"message":"boom"}`,
	} {
		_, r := run(TapConfig{Family: family, SSE: true}, []byte(sse(frame)), 5)
		if !strings.Contains(r.StreamError, "boom") || r.Terminal || r.Seen {
			t.Errorf("%s: %+v", family, r)
		}
	}
}

func TestWithoutUsageTheEstimateCountsWhatWasSeen(t *testing.T) {
	_, r := run(TapConfig{Family: gatehouse.FamilyChat, SSE: true}, []byte(sse(helloFrame, helloFrame, "data: [DONE]")), 11)
	u, estimated := r.Vector(100)
	if !estimated || u[gatehouse.PromptText] != 100 || u[gatehouse.CompletionText] != 3 {
		t.Errorf("%v %v", u, estimated)
	}
	g := goldens(t)["broken_stream"]
	_, r = run(g.config(t), g.bytes(), 1000)
	if u, estimated = r.Vector(100); !estimated || u[gatehouse.PromptText] != 25 || u[gatehouse.CompletionText] != 3 {
		t.Errorf("the reported prompt must stand: %v %v", u, estimated)
	}
}

func TestSpeechIsCountedByItsText(t *testing.T) {
	r, _ := Classify("POST", "/v1/audio/speech")
	b, err := Scan(&r, "application/json", []byte(`{"model":"tts-1","voice":"alloy","input":"h\u00e9llo"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, res := run(TapConfig{Family: gatehouse.FamilyAudio, Binary: true, Body: &b}, []byte("\xff\xfbMP3"), 2)
	if u, estimated := res.Vector(0); estimated || u[gatehouse.Characters] != 5 || u.Tokens() != 0 {
		t.Errorf("%v %v", u, estimated)
	}
}

func TestAnthropicsTierIsFoundInItsUsage(t *testing.T) {
	g := goldens(t)["anthropic_messages"]
	if _, r := run(g.config(t), g.bytes(), 100); r.ServiceTier != "standard" || r.Model != "claude-sonnet-4-5" {
		t.Errorf("%+v", r)
	}
}

func TestStreamedNeverFalls(t *testing.T) {
	tap, last := newTap(TapConfig{Family: gatehouse.FamilyChat, SSE: true}), int64(0)
	for _, f := range []string{helloFrame, helloFrame, helloFrame, usageFrame, "data: [DONE]"} {
		tap.Write([]byte(f + "\n\n"))
		if n := tap.Streamed(); n < last {
			t.Errorf("%d after %d", n, last)
		} else {
			last = n
		}
	}
	if last != 10 {
		t.Errorf("%d at the end", last)
	}
}

// A chunk that is read by its likeness to the one before counts as it would
// alone, whatever stands in its text.
func TestLikeChunksCountAsTheyWouldAlone(t *testing.T) {
	texts := []string{"a", "word ", "", `a\"b`, `\u00e9`, "é", "data:x", "data:" + strings.Repeat("x", 80), strings.Repeat("long ", 30), "]}", "[DONE]", "a\tb"}
	shapes := []string{
		`{"id":"c","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}`,
		`{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"%s","refusal":"no"},"finish_reason":null}],"usage":null}`,
		`{"id":"c","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`,
		`{"id":"c","choices":[{"index":0,"delta":{"reasoning_content":"why","content":"%s"}},{"index":1,"delta":{"content":"two"}}]}`,
	}
	rapid.Check(t, func(r *rapid.T) {
		cfg := TapConfig{Family: gatehouse.FamilyChat, Kind: gatehouse.OpenAI, SSE: true, Body: &Body{}}
		tap := newTap(cfg)
		want := int64(0)
		for range rapid.IntRange(1, 12).Draw(r, "frames") {
			shape, text := rapid.SampledFrom(shapes).Draw(r, "shape"), rapid.SampledFrom(texts).Draw(r, "text")
			frame := "data: " + strings.Replace(shape, "%s", text, 1) + "\n\n"
			tap.Write([]byte(frame))
			alone := newTap(cfg)
			alone.Write([]byte(frame))
			if want += alone.text; tap.text != want {
				r.Fatalf("%q: %d bytes of text, want %d", frame, tap.text, want)
			}
		}
	})
}

func TestATapIsCleanAfterReset(t *testing.T) {
	tap := newTap(TapConfig{})
	for name, g := range goldens(t) {
		_, want := run(g.config(t), g.bytes(), 3)
		tap.Reset(g.config(t))
		for _, b := range g.bytes() {
			tap.Write([]byte{b})
		}
		tap.Finish()
		if d := cmp.Diff(want, tap.Result(), cmpopts.IgnoreUnexported(Result{})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

var families = []gatehouse.Family{
	gatehouse.FamilyChat, gatehouse.FamilyResponses, gatehouse.FamilyMessages, gatehouse.FamilySample,
	gatehouse.FamilyEmbeddings, gatehouse.FamilyImages, gatehouse.FamilyAudio, gatehouse.FamilyModeration,
}

// FuzzTap: however an answer is split, the same bytes are forwarded and the
// same is known of it; without stripping the bytes are the upstream's; no
// figure is negative.
func FuzzTap(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.bytes(), uint8(0), uint64(1), g.Stream != nil, false, false)
		f.Add(g.bytes(), uint8(1), uint64(2), g.Stream != nil, true, true)
	}
	f.Add([]byte(strings.ReplaceAll(sse(helloFrame, usageFrame), "\n", "\r\n")), uint8(0), uint64(3), true, true, false)
	f.Add([]byte("data: {\"choices\":\rdata: [],\n:x\r\ndata: \"usage\":{}}\r\r\n\n"), uint8(0), uint64(3), true, true, true)
	f.Fuzz(func(t *testing.T, answer []byte, family uint8, seed uint64, stream, strip, hold bool) {
		c := TapConfig{Family: families[int(family)%len(families)], Kind: gatehouse.XAI, SSE: stream, StripUsage: strip, HoldID: hold}
		whole, want := run(c, answer, len(answer)+1)
		if !(strip && stream) && !bytes.Equal(whole, answer) {
			t.Fatalf("changed without need: %q", whole)
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		tap, rest, got := newTap(c), answer, []byte(nil)
		for len(rest) > 0 {
			n := 1 + rng.IntN(min(len(rest), 40))
			got = append(got, tap.Write(bytes.Clone(rest[:n]))...)
			rest = rest[n:]
		}
		got = append(got, tap.Finish()...)
		if !bytes.Equal(got, whole) {
			t.Fatalf("split: %q\nwhole: %q", got, whole)
		}
		if d := cmp.Diff(want, tap.Result(), cmpopts.IgnoreUnexported(Result{})); d != "" {
			t.Fatalf("%s", d)
		}
		for i, n := range want.Usage {
			if n < 0 {
				t.Fatalf("%v is %d", gatehouse.Unit(i), n)
			}
		}
	})
}

// FuzzPick holds the picker to encoding/json on answers that are valid.
func FuzzPick(f *testing.F) {
	for _, g := range goldens(f) {
		if g.Stream == nil {
			f.Add(g.bytes())
		}
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		var want map[string]json.RawMessage
		if json.Unmarshal(answer, &want) != nil || bytes.Contains(answer, []byte(`\`)) || bytes.Count(answer, []byte(`"usage"`)) > 1 {
			return
		}
		var k picker
		k.feed(answer)
		raw := want["usage"]
		if len(raw) > 0 && raw[0] == '{' && len(raw) < maxPicked && !bytes.Equal(raw, k.usage) && want["duration"] == nil {
			t.Fatalf("usage %s, want %s", k.usage, raw)
		}
		if want != nil && !k.closed {
			t.Fatalf("%q is not seen to end", answer)
		}
	})
}

func answer646() []byte {
	return []byte(`{"id":"chatcmpl-B9MBs8CjcvOLX2n4n574qAC3","object":"chat.completion","created":1741569952,"model":"gpt-4.1-2025-04-14","choices":[{"index":0,"message":{"role":"assistant","content":"Hello! How can I assist you today?","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"fp_44709d6fcb"}`)
}

func BenchmarkTapJSON646B(b *testing.B) {
	p, tap := answer646(), newTap(TapConfig{})
	b.ReportAllocs()
	for b.Loop() {
		tap.Reset(TapConfig{Family: gatehouse.FamilyChat, Kind: gatehouse.OpenAI})
		tap.Write(p)
		tap.Finish()
		if r := tap.Result(); r.Usage.Tokens() != 29 {
			b.Fatal(r)
		}
	}
}

func BenchmarkTapJSON1MB(b *testing.B) {
	var e strings.Builder
	for i := range 80000 {
		fmt.Fprintf(&e, "0.%07d,\n", i)
	}
	p := []byte(`{"data":[{"embedding":[` + e.String() + `0]}],"usage":{"prompt_tokens":8,"total_tokens":8}}`)
	tap := newTap(TapConfig{})
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		tap.Reset(TapConfig{Family: gatehouse.FamilyEmbeddings})
		tap.Write(p)
		if tap.Result().Usage.Tokens() != 8 {
			b.Fatal()
		}
	}
}

func BenchmarkTapStream20(b *testing.B) {
	chunk := []byte(`data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1694268190,"model":"gpt-4o-mini","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":"Hello"},"logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n")
	tap := newTap(TapConfig{})
	end := []byte(sse(usageFrame, "data: [DONE]"))
	b.ReportAllocs()
	for b.Loop() {
		tap.Reset(TapConfig{Family: gatehouse.FamilyChat, Kind: gatehouse.OpenAI, SSE: true, StripUsage: true})
		for range 20 {
			tap.Write(chunk)
		}
		tap.Write(end)
		tap.Finish()
		if r := tap.Result(); r.Usage.Tokens() != 29 {
			b.Fatal(r)
		}
	}
}

func BenchmarkTapChunks(b *testing.B) {
	frame := []byte(`data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"word 7 "},"finish_reason":null}]}` + "\n\n")
	t := newTap(TapConfig{Family: gatehouse.FamilyChat, Kind: gatehouse.OpenAI, SSE: true, Body: &Body{}})
	b.ReportAllocs()
	for b.Loop() {
		t.Write(frame)
	}
}
