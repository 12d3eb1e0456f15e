package llm

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse"
)

// golden is one recorded answer and the vector that a reviewer can check by eye.
type golden struct {
	About    string                 `json:"about"`
	Kind     gatehouse.UpstreamKind `json:"kind"`
	Family   gatehouse.Family       `json:"family"`
	Answer   json.RawMessage        `json:"answer"`
	Stream   []string               `json:"stream"`
	Body     json.RawMessage        `json:"body"`
	Want     map[string]int64       `json:"want"`
	Tokens   *int64                 `json:"tokens"`
	Flawed   bool                   `json:"flawed"`
	Unseen   bool                   `json:"unseen"`
	ObjectID string                 `json:"objectId"`
}

func (g *golden) bytes() []byte {
	if g.Stream != nil {
		return []byte(strings.Join(g.Stream, "\n") + "\n")
	}
	return g.Answer
}

func (g *golden) config(t testing.TB) TapConfig {
	c := TapConfig{Family: g.Family, Kind: g.Kind, SSE: g.Stream != nil}
	if g.Body != nil {
		r, _ := Classify("POST", "/v1/images/edits")
		b, err := Scan(&r, "application/json", g.Body)
		if err != nil {
			t.Fatal(err)
		}
		c.Body = &b
	}
	return c
}

func goldens(t testing.TB) map[string]golden {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("golden files: %d, %v", len(files), err)
	}
	out := map[string]golden{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var g golden
		if err := json.Unmarshal(raw, &g); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = g
	}
	return out
}

func unitsOf(u gatehouse.Usage) map[string]int64 {
	m := map[string]int64{}
	for i, n := range u {
		if n != 0 {
			m[gatehouse.Unit(i).String()] = n
		}
	}
	return m
}

// Every provider's answer becomes the vector that stands beside it, however the
// bytes arrive, and converting the kept usage object again gives the same.
func TestGoldenAnswersBecomeTheirVectors(t *testing.T) {
	for name, g := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1 << 20, 7, 1} {
				forward, r := run(g.config(t), g.bytes(), size)
				if !bytes.Equal(forward, g.bytes()) {
					t.Fatalf("size %d: bytes changed:\n%s", size, forward)
				}
				if d := cmp.Diff(g.Want, unitsOf(r.Usage)); d != "" {
					t.Errorf("size %d: %s\n%s", size, g.About, d)
				}
				if r.Flawed != g.Flawed || r.Seen == g.Unseen || r.ObjectID != g.ObjectID {
					t.Errorf("size %d: flawed %v seen %v id %q", size, r.Flawed, r.Seen, r.ObjectID)
				}
				if g.Tokens != nil && r.Usage.Tokens() != *g.Tokens {
					t.Errorf("size %d: %d tokens, the provider says %d", size, r.Usage.Tokens(), *g.Tokens)
				}
				again, _, ok := Convert(g.Kind, g.Family, []byte(r.Raw))
				if ok && again.Tokens() != r.Usage.Tokens() {
					t.Errorf("converting %s again: %v", r.Raw, again)
				}
			}
		})
	}
}

// run feeds an answer in pieces of size bytes.
func run(c TapConfig, answer []byte, size int) ([]byte, Result) {
	t := newTap(c)
	var out []byte
	for len(answer) > 0 {
		n := min(size, len(answer))
		// A copy that is spoilt afterwards: the tap must not keep p.
		p := append([]byte(nil), answer[:n]...)
		out = append(out, t.Write(p)...)
		clear(p)
		answer = answer[n:]
	}
	out = append(out, t.Finish()...)
	return out, t.Result()
}
