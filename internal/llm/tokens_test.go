package llm

import (
	"strings"
	"testing"
	"time"
)

func TestTokensAreThoseOfO200k(t *testing.T) {
	z := NewTokenizer()
	tokens, err := z.Tokens("Hello, world! Grüße 🌍")
	if err != nil || tokens[0].ID != 13225 || string(tokens[0].Bytes) != "Hello" {
		t.Fatalf("%v %v", tokens, err)
	}
	var text []byte
	for _, k := range tokens {
		text = append(text, k.Bytes...)
	}
	if string(text) != "Hello, world! Grüße 🌍" {
		t.Errorf("%q", text)
	}
	if _, err := z.Tokens(strings.Repeat("x", maxTokenize+1)); FaultOf(err) != Invalid {
		t.Error(err)
	}
}

// A word of 512 KiB takes other tokenizers minutes.
func TestAHugeWordDoesNotStallCounting(t *testing.T) {
	z := NewTokenizer()
	for _, unit := range []string{"x", "é", " ", "\n", "1", "🌍", "ab "} {
		text, start := strings.Repeat(unit, 512<<10/len(unit)), time.Now()
		n := z.Count(text)
		if took := time.Since(start); took > 5*time.Second || n < 1000 || n > int64(len(text)) {
			t.Errorf("%q: %d tokens in %v", unit, n, took)
		}
	}
}

func TestPromptsAreCountedByTheirText(t *testing.T) {
	z := NewTokenizer()
	text := z.Count("What is the capital of France?")
	n := z.CountPrompt([]byte(`{"model":"m","messages":[{"role":"user","content":"What is the capital of France?"}],"n":1}`))
	if n < text || n > text+12 {
		t.Errorf("%d for a text of %d", n, text)
	}
	if n := z.CountPrompt([]byte(`{"x":"data:image/png;base64,` + strings.Repeat("A", 5000) + `"}`)); n != blobTokens {
		t.Errorf("a picture counts %d", n)
	}
	if n := z.CountPrompt([]byte("--XX\r\n")); n != 0 {
		t.Errorf("a form counts %d", n)
	}
}
