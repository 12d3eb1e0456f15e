package llm

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"gatehouse"
)

// Parts are disjoint: whatever a consistent provider reports, the vector's
// token units add up to its total.
func TestPartsAddUpToTheProvidersTotal(t *testing.T) {
	kinds := []gatehouse.UpstreamKind{gatehouse.OpenAI, gatehouse.XAI, gatehouse.Anthropic}
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.Int64Range(0, 1<<30)
		text, cached, image, audio := part.Draw(t, "text"), part.Draw(t, "cached"), part.Draw(t, "image"), part.Draw(t, "audio")
		out, reasoning, sound := part.Draw(t, "out"), part.Draw(t, "reasoning"), part.Draw(t, "sound")
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		outside := rapid.Bool().Draw(t, "reasoning outside")
		prompt, completion := text+cached+image+audio, out+sound+reasoning
		total := prompt + completion
		if outside {
			completion -= reasoning
		}
		raw := fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,
			"prompt_tokens_details":{"text_tokens":%d,"cached_tokens":%d,"image_tokens":%d,"audio_tokens":%d},
			"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":%d}}`,
			prompt, completion, total, text, cached, image, audio, reasoning, sound)
		u, flawed, ok := Convert(kind, gatehouse.FamilyChat, []byte(raw))
		want := gatehouse.Usage{
			gatehouse.PromptText: text, gatehouse.CacheRead: cached, gatehouse.PromptImage: image, gatehouse.PromptAudio: audio,
			gatehouse.CompletionText: out, gatehouse.CompletionAudio: sound, gatehouse.Reasoning: reasoning,
		}
		if !ok || flawed || u != want || u.Tokens() != total {
			t.Fatalf("%s\n got %v\nwant %v", raw, u, want)
		}
	})
}

// Contradictory figures never make a unit negative, and Anthropic's parts add
// up to the counters it reports.
func TestContradictionsNeverGoNegative(t *testing.T) {
	families := []gatehouse.Family{gatehouse.FamilyChat, gatehouse.FamilyMessages, gatehouse.FamilyResponses, gatehouse.FamilyImages, gatehouse.FamilyAudio}
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string) int64 { return rapid.Int64().Draw(t, name) }
		raw := fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"input_tokens":%d,"output_tokens":%d,
			"cache_read_input_tokens":%d,"cache_creation_input_tokens":%d,"cache_creation":{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":%d},
			"prompt_tokens_details":{"cached_tokens":%d,"image_tokens":%d},"completion_tokens_details":{"reasoning_tokens":%d},
			"num_sources_used":%d,"seconds":%d}`, n("a"), n("b"), n("c"), n("d"), n("e"), n("f"), n("g"), n("h"), n("i"), n("j"), n("k"), n("l"), n("m"), n("o"))
		u, _, _ := Convert(gatehouse.XAI, rapid.SampledFrom(families).Draw(t, "family"), []byte(raw))
		for i, v := range u {
			if v < 0 {
				t.Fatalf("%v is %d for %s", gatehouse.Unit(i), v, raw)
			}
		}
		if u.Tokens() < 0 {
			t.Fatalf("the sum overflows for %s", raw)
		}
	})
}

func TestCacheWritesWithoutASplitAreFiveMinuteOnes(t *testing.T) {
	u, flawed, ok := Convert(gatehouse.Anthropic, gatehouse.FamilyMessages,
		[]byte(`{"input_tokens":1,"cache_creation_input_tokens":70,"cache_read_input_tokens":null,"output_tokens":2}`))
	if !ok || flawed || u[gatehouse.CacheWrite5m] != 70 || u.Tokens() != 73 {
		t.Errorf("%v %v", u, flawed)
	}
}
