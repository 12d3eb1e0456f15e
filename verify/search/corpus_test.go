package search

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/library/index"
)

const (
	dimension = 384
	perDoc    = 50 // chunks, of about 600 bytes each
	// version is another whenever other documents are drawn: an index of the ones
	// before is not taken for one of these.
	version = 1
)

// corpus is documents that can be drawn again one by one: nothing of a million
// chunks is held here. Words are as frequent as those of English are, with its
// stop words between them; vectors lie around centres, as embeddings do.
type corpus struct {
	chunks  int
	centres [][]float32
}

// perCentre is how many chunks lie around a centre.
const perCentre = 2000

func newCorpus(chunks int) *corpus {
	c, r := &corpus{chunks: chunks}, rand.New(rand.NewPCG(version, 0))
	for range max(chunks/perCentre, 10) {
		c.centres = append(c.centres, normal(r, nil, 1))
	}
	return c
}

// normal is a vector around another.
func normal(r *rand.Rand, around []float32, spread float32) []float32 {
	v := make([]float32, dimension)
	for i := range v {
		v[i] = spread * float32(r.NormFloat64())
		if around != nil {
			v[i] += around[i]
		}
	}
	return v
}

// spread is how far vectors lie from their centre, whose own components are
// normal: the cosine of two of one centre is about 0.74, of two centres 0.
const spread = 0.6

func (c *corpus) vector(r *rand.Rand) []float32 {
	return normal(r, c.centres[r.IntN(len(c.centres))], spread)
}

func (c *corpus) documents() int { return c.chunks / perDoc }

// dice draw the words and the vectors of the n-th document.
func (c *corpus) dice(n int) (words, vectors *rand.Rand) {
	return rand.New(rand.NewPCG(version, 2*uint64(n)+1)), rand.New(rand.NewPCG(version, 2*uint64(n)+2))
}

// document is the n-th, from 0.
func (c *corpus) document(n int) (index.Document, []index.Chunk) {
	r, vectors := c.dice(n)
	words := rand.NewZipf(r, 1.07, 50, 60_000) // its head is flat, since the most frequent words of English are stop words
	d := index.Document{ID: identity(fmt.Sprint("document ", n)), Name: fmt.Sprint(n), ContentType: "text/plain", Created: time.Unix(1767225600, 0),
		Fields: map[string]string{"part": fmt.Sprint(n % 10)}}
	chunks := make([]index.Chunk, perDoc)
	for i := range chunks {
		chunks[i] = index.Chunk{Text: prose(r, words, 120), Page: i + 1, Vector: c.vector(vectors)}
		d.Size += int64(len(chunks[i].Text))
	}
	return d, chunks
}

// stops are about every other word of English.
var stops = strings.Fields("the of and to a in is that it for was on are as with his they at be this from have or by one had not but what all were when we there can an your which their")

func prose(r *rand.Rand, words *rand.Zipf, n int) string {
	var b strings.Builder
	for range n {
		if r.IntN(20) < 11 {
			spell(&b, words.Uint64())
		} else {
			b.WriteString(stops[r.IntN(len(stops))])
		}
		b.WriteByte(' ')
	}
	return b.String()
}

// spell writes a number in syllables.
func spell(b *strings.Builder, n uint64) {
	for n += 20; n > 0; n /= 80 {
		b.WriteByte("bdfgklmnprtvzcxh"[n%16])
		b.WriteByte("aeiou"[n/16%5])
	}
	b.WriteByte('n')
}

// query is words of one chunk, stop words included, and a vector near others.
func (c *corpus) query(r *rand.Rand, collection gatehouse.ID) index.Query {
	_, chunks := c.document(r.IntN(c.documents()))
	words := strings.Fields(chunks[r.IntN(perDoc)].Text)
	at := r.IntN(len(words) - 12)
	return index.Query{Text: "what is the " + strings.Join(words[at:at+6+r.IntN(6)], " "), Collections: []gatehouse.ID{collection},
		Vectors: map[gatehouse.ID][]float32{collection: c.vector(r)}}
}

// place is a chunk: its document's name and its page.
type place struct {
	document string
	page     int
}

type scored struct {
	place
	score float64
}

// nearest is the ten chunks nearest to each query by cosine, by comparing all.
func (c *corpus) nearest(queries [][]float32) [][]scored {
	out := make([][]scored, len(queries))
	for i := range out {
		out[i] = make([]scored, 0, 11)
	}
	const workers = 2
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			mine := make([][]scored, len(queries))
			for n := w; n < c.documents(); n += workers {
				_, vectors := c.dice(n)
				for i := range perDoc {
					v := c.vector(vectors)
					length := dot(v, v)
					for q, query := range queries {
						keep(&mine[q], scored{place{fmt.Sprint(n), i + 1}, square(dot(query, v), length)})
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for q := range mine {
				for _, s := range mine[q] {
					keep(&out[q], s)
				}
			}
		})
	}
	wg.Wait()
	return out
}

// square orders as the cosine does, without a root.
func square(dot, length float64) float64 {
	if dot < 0 {
		return -dot * dot / length
	}
	return dot * dot / length
}

func keep(best *[]scored, s scored) {
	if len(*best) == 10 && s.score <= (*best)[9].score {
		return
	}
	at, _ := slices.BinarySearchFunc(*best, s, func(a, b scored) int {
		if a.score > b.score {
			return -1
		}
		return 1
	})
	*best = slices.Insert(*best, at, s)
	*best = (*best)[:min(len(*best), 10)]
}

func dot(a, b []float32) float64 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for i := 0; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	return float64(s0 + s1 + s2 + s3)
}
