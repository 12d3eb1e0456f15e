package indextest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// Corpus is documents of made-up words, as frequent as those of English are and
// with its stop words between them, and of clustered vectors.
type Corpus struct {
	vectors *Clusters
	r       *rand.Rand
	words   *rand.Zipf
	all     [][]float32 // by chunk, for the exact answer
	texts   []string
}

// corpusStops are about every other word of English.
var corpusStops = strings.Fields("the of and to a in is that it for was on are as with his they at be this from have or by one had not but what all were when we there can an your which their")

// NewCorpus starts a corpus of vectors in so many dimensions.
func NewCorpus(seed uint64, dimension int) *Corpus {
	r := rand.New(rand.NewPCG(seed, 2))
	// The head is flat, since the most frequent words of English are stop words.
	return &Corpus{vectors: NewClusters(seed, 500, dimension), r: r, words: rand.NewZipf(r, 1.07, 50, 60_000)}
}

// word spells a number in syllables.
func word(n uint64) string {
	var b strings.Builder
	for n += 20; n > 0; n /= 80 {
		b.WriteByte("bdfgklmnprtvzcxh"[n%16])
		b.WriteByte("aeiou"[n/16%5])
	}
	return b.String() + "n"
}

func (c *Corpus) prose(n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = corpusStops[c.r.IntN(len(corpusStops))]
		if c.r.IntN(20) < 11 {
			out[i] = word(c.words.Uint64())
		}
	}
	return strings.Join(out, " ")
}

// Fill puts documents of fifty chunks, about 600 bytes each, until there are so
// many chunks; field "part" is a tenth of the documents each. It returns the
// bytes of text and the time that putting them took.
func (c *Corpus) Fill(b testing.TB, ix index.Index, team, collection gatehouse.ID, chunks int) (bytes int, took time.Duration) {
	for len(c.all) < chunks {
		d := document("doc", map[string]string{"part": fmt.Sprint(len(c.all) / 50 % 10)})
		part := make([]index.Chunk, 50)
		for i := range part {
			part[i] = point(c.prose(120), c.vectors.Draw()...)
			c.all, c.texts, bytes = append(c.all, part[i].Vector), append(c.texts, part[i].Text), bytes+len(part[i].Text)
		}
		begun := time.Now()
		if err := ix.PutDocument(context.Background(), team, collection, d, index.Of(part...)); err != nil {
			b.Fatal(err)
		}
		took += time.Since(begun)
	}
	return bytes, took
}

// Query is words of one chunk, stop words included, and a vector near others.
func (c *Corpus) Query(collection gatehouse.ID) index.Query {
	words := strings.Fields(c.texts[c.r.IntN(len(c.texts))])
	at := c.r.IntN(len(words) - 12)
	q := index.Query{Text: "what is the " + strings.Join(words[at:at+6+c.r.IntN(6)], " "), Collections: []gatehouse.ID{collection}}
	q.Vectors = map[gatehouse.ID][]float32{collection: c.vectors.Draw()}
	return q
}

// Nearest is the texts of the n chunks nearest by cosine.
func (c *Corpus) Nearest(query []float32, n int) (out []string) {
	type scored struct {
		at    int
		score float64
	}
	all := make([]scored, len(c.all))
	for i, v := range c.all {
		all[i] = scored{i, Similarity(index.Cosine, v, query)}
	}
	slices.SortFunc(all, func(a, b scored) int {
		if a.score > b.score {
			return -1
		}
		return 1
	})
	for _, s := range all[:n] {
		out = append(out, c.texts[s.at])
	}
	return out
}

// Bench fills an index with a collection of so many chunks of 384 dimensions and
// reports how fast it was filled, how long searches take at the 95th percentile,
// the first after filling included, and what share of the ten nearest is found.
func Bench(b *testing.B, ix index.Index, chunks int) {
	ctx, team, collection := context.Background(), gatehouse.NewID(), gatehouse.NewID()
	if err := ix.PutCollection(ctx, team, index.Collection{ID: collection}); err != nil {
		b.Fatal(err)
	}
	c := NewCorpus(1, 384)
	bytes, took := c.Fill(b, ix, team, collection, chunks)
	b.Logf("%s\nfilled with %d chunks, %d MB of text, at %.1f MB/s", ix.Methods(), chunks, bytes/1e6, float64(bytes)/1e6/took.Seconds())
	begun := time.Now()
	if _, err := ix.Search(ctx, team, c.Query(collection)); err != nil {
		b.Fatal(err)
	}
	b.Logf("the first search takes %v", time.Since(begun).Round(time.Millisecond))
	for _, mode := range []index.Mode{index.Keyword, index.Semantic, index.Hybrid} {
		b.Run(string(mode), func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				q := c.Query(collection)
				q.Mode = mode
				begun := time.Now()
				if _, err := ix.Search(ctx, team, q); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
		})
	}
	b.Run("recall", func(b *testing.B) {
		found, n := 0, 0
		for b.Loop() {
			q := c.Query(collection)
			q.Mode = index.Semantic
			matches, err := ix.Search(ctx, team, q)
			if err != nil {
				b.Fatal(err)
			}
			want := c.Nearest(q.Vectors[collection], 10)
			for _, m := range matches {
				if slices.Contains(want, m.Text) {
					found++
				}
			}
			n += 10
		}
		b.ReportMetric(float64(found)/float64(n), "recall@10")
	})
}
