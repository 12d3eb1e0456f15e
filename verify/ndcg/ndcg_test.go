package ndcg

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/sqlindex"
	"gatehouse/internal/library/index/sqlite"
)

// collection is what is searched and what people say should be found.
type collection struct {
	texts []string    // the judged ones first
	gains [][]float64 // of each judged text as a query: of each text
}

// alike is from which judgement on two texts are taken to be of one matter: most
// pairs, which have nothing in common, got between 0.2 and 0.4.
const alike = 0.5

// read reads the texts, a line each, and the upper half of their similarities.
func read(t *testing.T, dir string) (c collection) {
	t.Helper()
	lines := func(name string) []string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Skip("no documents: make verify-ndcg fetches them")
		}
		return strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(b), " ")), "\n")
	}
	judged := lines("lee.cor")
	c.texts = append(judged, lines("lee_background.cor")...)
	similar := lines("similarities0-1.txt")
	for i := range judged {
		gains := make([]float64, len(c.texts))
		for j := range judged {
			v, err := strconv.ParseFloat(strings.Fields(similar[min(i, j)])[max(i, j)], 64)
			if err != nil {
				t.Fatal(err)
			}
			if i != j && v >= alike {
				gains[j] = v
			}
		}
		c.gains = append(c.gains, gains)
	}
	return c
}

// model embeds by HTTP, as a gateway's upstream would be asked.
type model struct {
	t   *testing.T
	url string
}

func start(t *testing.T, python string) model {
	t.Helper()
	cmd := exec.Command(python, "../../conformance/python/embeddings.py")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the model does not start: ", err)
	}
	return model{t, "http://127.0.0.1:" + strings.TrimSpace(port) + "/v1/embeddings"}
}

func (m model) embed(texts []string) (out [][]float32) {
	m.t.Helper()
	for some := range slices.Chunk(texts, 64) {
		body, _ := json.Marshal(map[string]any{"model": "wordllama-256", "input": some})
		resp, err := http.Post(m.url, "application/json", bytes.NewReader(body))
		if err != nil {
			m.t.Fatal(err)
		}
		var answer struct {
			Data []struct{ Embedding []float32 }
		}
		err = json.NewDecoder(resp.Body).Decode(&answer)
		resp.Body.Close()
		if err != nil || len(answer.Data) != len(some) {
			m.t.Fatalf("%s: %v", resp.Status, err)
		}
		for _, d := range answer.Data {
			out = append(out, d.Embedding)
		}
	}
	return out
}

// TestAnswersAreInOrder asks for each judged text which others are like it. Meaning
// and words together must not be worse than the better of them by much, nor any
// of them be no better than chance.
func TestAnswersAreInOrder(t *testing.T) {
	dir := os.Getenv("VERIFY_NDCG_DIR")
	if dir == "" {
		t.Skip("no documents: make verify-ndcg fetches them")
	}
	c := read(t, filepath.Join(dir, "lee"))
	vectors := start(t, filepath.Join(dir, "venv/bin/python")).embed(c.texts)
	ix, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "index.db"), sqlindex.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	team, in := gatehouse.NewID(), gatehouse.NewID()
	if err := ix.PutCollection(t.Context(), team, index.Collection{ID: in}); err != nil {
		t.Fatal(err)
	}
	for i, text := range c.texts {
		d := index.Document{ID: gatehouse.NewID(), Name: strconv.Itoa(i), ContentType: "text/plain", Size: int64(len(text)), Created: time.Now()}
		if err := ix.PutDocument(t.Context(), team, in, d, index.Of(index.Chunk{Text: text, Vector: vectors[i]})); err != nil {
			t.Fatal(err)
		}
	}
	score, said := map[index.Mode]float64{}, ""
	for _, mode := range []index.Mode{index.Keyword, index.Semantic, index.Hybrid} {
		var n int
		score[mode], n = c.mean(func(i int) (order []int) {
			found, err := ix.Search(t.Context(), team, index.Query{Text: c.texts[i], Vectors: map[gatehouse.ID][]float32{in: vectors[i]}, Mode: mode, Collections: []gatehouse.ID{in}, Limit: len(c.texts)})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range found {
				// Of texts that nobody judged it is not known whether they belong here
				// (Sakai, "Alternatives to bpref", SIGIR 2007).
				if at, _ := strconv.Atoi(m.Name); at != i && at < len(c.gains) {
					order = append(order, at)
				}
			}
			return order
		})
		said += fmt.Sprintf("%s %.3f, ", mode, score[mode])
		if n == 0 {
			t.Fatal("no judgements")
		}
		if score[mode] < 0.5 {
			t.Errorf("%s: %.3f is hardly better than chance", mode, score[mode])
		}
	}
	if best := max(score[index.Keyword], score[index.Semantic]); score[index.Hybrid] < best-0.05 {
		t.Errorf("hybrid search %.3f is worse than %.3f of one alone", score[index.Hybrid], best)
	}
	t.Logf("nDCG@10, %d judged texts of %d, through the index on SQLite, wordllama's embeddings of 256 dimensions: %s", len(c.gains), len(c.texts), strings.TrimSuffix(said, ", "))
}

// mean is nDCG@10 over the queries that have anything to find, and their number.
func (c collection) mean(answer func(int) []int) (sum float64, n int) {
	for i, gains := range c.gains {
		ideal := slices.Clone(gains)
		slices.SortFunc(ideal, func(a, b float64) int { return cmp.Compare(b, a) })
		if ideal[0] == 0 {
			continue
		}
		var got []float64
		for _, at := range answer(i) {
			got = append(got, gains[at])
		}
		sum, n = sum+dcg(got)/dcg(ideal), n+1
	}
	return sum / float64(max(n, 1)), n
}

// dcg is the discounted gain of the first ten.
func dcg(gains []float64) (sum float64) {
	for i, g := range gains[:min(len(gains), 10)] {
		sum += g / math.Log2(float64(i)+2)
	}
	return sum
}
