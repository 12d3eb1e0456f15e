package library

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/extract"
	"gatehouse/internal/library/index"
	"gatehouse/internal/store"
)

const small = `{"chars_configuration": {"max_chunk_size_chars": 20}, "strip_whitespace": true}`

// A document is extracted in a child, cut, injected and found; its state says so.
func TestADocumentIsIndexed(t *testing.T) {
	w := newWorkshop(t, func(c *Config) { c.Extract = real(t) })
	c := w.collect(func(c *gatehouse.Collection) {
		c.Chunks = []byte(`{"chars_configuration": {"max_chunk_size_chars": 20}, "strip_whitespace": true, "inject_name_into_chunks": true}`)
		c.Fields = []gatehouse.FieldDefinition{{Key: "quiet"}, {Key: "author", Inject: true}}
	})
	f := w.newFile("report.txt", "The mitochondria are the powerhouse of the cell")
	w.upload(c, f, map[string]string{"author": "Kim", "quiet": "hidden"})
	w.drain()
	s := w.state(c, f)
	if s.Status != gatehouse.DocumentProcessed || s.Chunks != 3 || s.ChunksDone != 3 || !s.IndexTime.Equal(w.clock()) || s.Problem != "" {
		t.Errorf("%+v", s)
	}
	if got := w.finds(c.ID, "kim"); len(got) != 3 || got[0] != "report.txt\nKim\n\nThe mitochondria are" {
		t.Errorf("%q", got)
	}
	if n := w.finds(c.ID, "hidden"); n != nil {
		t.Errorf("%q: a field that is not injected is no text", n)
	}
}

// With a model every chunk has its vector, asked for in batches; progress moves.
func TestChunksAreEmbeddedInBatches(t *testing.T) {
	model := &letters{dimension: 3}
	w := newWorkshop(t, func(c *Config) { c.Embed = model })
	c := w.collect(func(c *gatehouse.Collection) { c.Model, c.Chunks = "m", []byte(small) })
	f := w.newFile("a.txt", strings.Repeat("abc abc abc abc abc ", 2*batchTexts+1))
	var seen []int64
	model.err = func(int) error {
		s := w.state(c, f)
		if s.Status != gatehouse.DocumentEmbedding || s.Chunks != 2*batchTexts+1 {
			t.Errorf("%+v", s)
		}
		seen = append(seen, s.ChunksDone)
		return nil
	}
	w.upload(c, f, nil)
	w.drain()
	if fmt.Sprint(seen) != fmt.Sprint([]int{0, batchTexts, 2 * batchTexts}) {
		t.Errorf("progress: %v", seen)
	}
	stats, err := w.Index.Stats(w.ctx, w.team, c.ID)
	if err != nil || stats.Chunks != 2*batchTexts+1 || stats.Vectors != stats.Chunks {
		t.Errorf("%+v, %v", stats, err)
	}
}

// What is the document's own fault is FAILED at once, with words for its owner.
func TestWhatCannotBeIndexedFails(t *testing.T) {
	gone := gatehouse.Errorf(gatehouse.FailedPrecondition, "the model has no upstream")
	for name, x := range map[string]struct {
		config  func(*Config)
		content string
		model   string
		chunks  string
		words   string
	}{
		"damaged":      {config: func(c *Config) { c.Extract = real(t) }, content: "%PDF-1.7\nnothing", words: "damaged"},
		"a scan":       {content: " \n", words: "no text"},
		"chunks":       {content: "words", chunks: `{"chars_configuration": {}}`, words: "max_chunk_size_chars"},
		"too many":     {content: strings.Repeat("ab", 1<<20), chunks: `{"chars_configuration": {"max_chunk_size_chars": 1}}`, words: "more than 1048576 chunks"},
		"no gateway":   {content: "words", model: "m", words: "library.gateway"},
		"refused":      {config: func(c *Config) { c.Embed = &letters{err: func(int) error { return gone }} }, content: "words", model: "m", words: "no upstream"},
		"no dimension": {config: func(c *Config) { c.Embed = &letters{} }, content: "words", model: "m", words: "different dimensions"},
		"too large": {config: func(c *Config) {
			c.Extract = fault{gatehouse.Errorf(gatehouse.ResourceExhausted, "text is more than 1 MiB").Because(extract.TooLarge)}
		}, content: "x", words: "more than 1 MiB"},
		"a panic in it": {config: func(c *Config) { c.Extract = panics{} }, content: "words", words: "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkshop(t, x.config)
			c := w.collect(func(c *gatehouse.Collection) {
				if c.Model = x.model; x.chunks != "" {
					c.Chunks = []byte(x.chunks)
				}
			})
			f := w.newFile("a.txt", x.content)
			w.upload(c, f, nil)
			w.drain()
			w.failed(c, f, x.words)
			w.pass(time.Hour)
			if worked, err := w.step(w.ctx); worked || err != nil {
				t.Errorf("it is tried again: %v", err)
			}
		})
	}
}

type fault struct{ err error }

func (f fault) Extract(context.Context, extract.Document, func(extract.Part) error) (extract.Result, error) {
	return extract.Result{}, f.err
}

type panics struct{}

func (panics) Extract(context.Context, extract.Document, func(extract.Part) error) (extract.Result, error) {
	var none []int
	return extract.Result{Lost: none[len(os.Args)]}, nil
}

// Bytes that are not those that were uploaded are never indexed, nor is what
// was there before found any more.
func TestDamagedBytesAreNotIndexed(t *testing.T) {
	w := newWorkshop(t, func(c *Config) { c.Extract = real(t) })
	c := w.collect(nil)
	good, bad, missing := w.newFile("a.txt", "good words"), w.newFile("b.txt", "good words"), w.newFile("c.txt", "words")
	bad.Hash = strings.Repeat("0", 64)
	for _, f := range []*gatehouse.File{good, bad, missing} {
		w.upload(c, f, nil)
	}
	w.must(w.blobs.Delete(w.ctx, missing.Blob))
	w.drain()
	w.failed(c, bad, "stored bytes are damaged")
	w.failed(c, missing, "stored bytes are missing")
	if got := w.finds(c.ID, "good"); len(got) != 1 {
		t.Errorf("%q", got)
	}
	// A new edition that cannot be read takes the old one with it.
	good.Hash = bad.Hash
	w.update(func(tx store.Tx) error {
		if err := tx.PutFile(good, w.act("file.updated")); err != nil {
			return err
		}
		return tx.PutDocument(&gatehouse.Document{CollectionID: c.ID, FileID: good.ID, TeamID: w.team, CreateTime: w.clock(), Generation: 1 << 20}, w.act("document.updated"))
	})
	w.drain()
	w.failed(c, good, "stored bytes are damaged")
}

// Another model's vectors are refused with the first batch, and by name.
func TestAnotherDimensionFails(t *testing.T) {
	model := &letters{dimension: 2}
	w := newWorkshop(t, func(c *Config) { c.Embed = model })
	c := w.collect(func(c *gatehouse.Collection) { c.Model, c.Chunks = "m", []byte(small) })
	one, two := w.newFile("a.txt", "abc"), w.newFile("b.txt", strings.Repeat("abc abc abc abc abc ", 3*batchTexts))
	w.upload(c, one, nil)
	w.drain()
	model.dimension, model.calls = 3, 0
	w.upload(c, two, nil)
	w.drain()
	w.failed(c, two, `"m" gives vectors of 3 dimensions`)
	if model.calls != 1 {
		t.Errorf("%d batches were paid for", model.calls)
	}
	if w.state(c, one).Status != gatehouse.DocumentProcessed {
		t.Error("the other document suffers")
	}
}

// What may pass is tried again, later and later, not before whoever refused
// says, and is given up at last.
func TestWhatMayPassIsTriedAgain(t *testing.T) {
	model := &letters{dimension: 2, err: func(call int) error {
		if call == 1 {
			return gatehouse.Errorf(gatehouse.Unavailable, "the gateway is away").After(90 * time.Second)
		}
		return errors.New("connection reset")
	}}
	w := newWorkshop(t, func(c *Config) { c.Embed = model })
	c := w.collect(func(c *gatehouse.Collection) { c.Model = "m" })
	f := w.newFile("a.txt", "abc")
	w.upload(c, f, nil)
	w.drain()
	if s := w.state(c, f); s.Status != gatehouse.DocumentProcessing || s.Problem != "tried again: the gateway is away" {
		t.Errorf("%+v", s)
	}
	w.pass(89 * time.Second)
	w.drain()
	if model.calls != 1 {
		t.Error("it was tried before its time")
	}
	for range maxAttempts - 1 {
		w.pass(longestWait)
		w.drain()
	}
	w.failed(c, f, "given up after 12 attempts: internal error")
	if model.calls != maxAttempts {
		t.Errorf("%d calls", model.calls)
	}
}

// Batches that are embedded are not paid for again because the next one was
// refused for a moment.
func TestARefusedBatchIsAskedForAgain(t *testing.T) {
	model := &letters{dimension: 2, err: func(call int) error {
		if call == 2 {
			return gatehouse.Errorf(gatehouse.Unavailable, "the gateway is away")
		}
		return nil
	}}
	w := newWorkshop(t, func(c *Config) { c.Embed = model })
	c := w.collect(func(c *gatehouse.Collection) { c.Model, c.Chunks = "m", []byte(small) })
	f := w.newFile("a.txt", strings.Repeat("abc abc abc abc abc ", 2*batchTexts))
	w.upload(c, f, nil)
	w.drain()
	if s := w.state(c, f); s.Status != gatehouse.DocumentProcessed || model.calls != 3 {
		t.Errorf("%+v after %d calls", s, model.calls)
	}
}

func TestPausesGrow(t *testing.T) {
	for attempts, most := range map[int]time.Duration{0: time.Second, 3: 8 * time.Second, 8: 256 * time.Second, 9: longestWait, 1000: longestWait} {
		for range 20 {
			if d := pause(attempts, errors.New("x")); d > most || d < most/2 {
				t.Errorf("%d: %v", attempts, d)
			}
		}
	}
}

// A document that its workers die of is given up; one whose workers were
// stopped, or that waits for a gateway, is not.
func TestADocumentThatKillsIsGivenUp(t *testing.T) {
	w := newWorkshop(t, func(c *Config) { c.Extract = plain{} })
	c := w.collect(nil)
	f := w.newFile("a.txt", "words")
	w.upload(c, f, nil)
	for range maxDeaths {
		h, err := w.claim(w.ctx)
		w.must(err)
		h.letGo() // nobody says a word
		w.pass(leaseLength)
	}
	w.drain()
	w.failed(c, f, "came to no end")

	g := w.newFile("b.txt", "words")
	w.upload(c, g, nil)
	for range maxDeaths + 1 {
		ctx, stop := context.WithCancel(w.ctx)
		h, err := w.claim(ctx)
		w.must(err)
		stop()
		state, err := h.attempt()
		h.settle(state, err)
	}
	w.drain()
	if s := w.state(c, g); s.Status != gatehouse.DocumentProcessed {
		t.Errorf("%+v", s)
	}
}

// What was tried again, since something else was away, is not taken for what
// kills, should the next to work on it be killed.
func TestWhatWasTriedAgainIsNotTakenForWhatKills(t *testing.T) {
	w := newWorkshop(t, func(c *Config) { c.Extract = plain{} })
	c := w.collect(nil)
	f := w.newFile("a.txt", "words")
	w.upload(c, f, nil)
	for range maxDeaths {
		h, err := w.claim(w.ctx)
		w.must(err)
		h.settle(nil, gatehouse.Errorf(gatehouse.Unavailable, "away"))
		w.pass(longestWait)
	}
	h, err := w.claim(w.ctx)
	w.must(err)
	h.ctx, h.cancel = context.WithCancelCause(h.ctx)
	_, _ = h.attempt() // it came as far as anything
	h.letGo()          // and nobody says a word
	w.pass(leaseLength)
	w.drain()
	if s := w.state(c, f); s.Status != gatehouse.DocumentProcessed || s.Problem != "" {
		t.Errorf("%+v", s)
	}
}

// Stopping gives the task back at once: the next one need not wait for the lease.
func TestAStoppedWorkerPutsItsTaskBack(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	w := newWorkshop(t, func(c *Config) { c.Extract = stopping{stop} })
	c := w.collect(nil)
	f := w.newFile("a.txt", "words")
	w.upload(c, f, nil)
	w.Run(ctx)
	if s := w.state(c, f); s.Status != gatehouse.DocumentProcessing || !strings.Contains(s.Problem, "interrupted") {
		t.Errorf("%+v", s)
	}
	w.Extract = plain{}
	w.drain()
	if s := w.state(c, f); s.Status != gatehouse.DocumentProcessed {
		t.Errorf("%+v", s)
	}
}

// A node that starts again takes up at once what it was doing when it died.
func TestANodeTakesUpWhatItHeld(t *testing.T) {
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	w := newWorkshop(t, func(c *Config) { c.Extract = stopping{stop} })
	c := w.collect(nil)
	f := w.newFile("a.txt", "words")
	w.upload(c, f, nil)
	h, err := w.claim(w.ctx)
	w.must(err)
	h.letGo() // nobody says a word
	w.Run(ctx)
	if s := w.state(c, f); !strings.Contains(s.Problem, "interrupted") {
		t.Errorf("not begun again: %+v", s)
	}
}

type stopping struct{ stop func() }

func (s stopping) Extract(ctx context.Context, _ extract.Document, _ func(extract.Part) error) (extract.Result, error) {
	s.stop()
	<-ctx.Done()
	return extract.Result{}, context.Cause(ctx)
}

// A large document costs the disk and not the memory.
func TestALargeDocumentNeedsNoMemory(t *testing.T) {
	w := newWorkshop(t, func(c *Config) { c.Embed = &letters{dimension: 8}; c.Extract = words{8 << 20} })
	c := w.collect(func(c *gatehouse.Collection) {
		c.Model, c.Chunks = "m", []byte(`{"chars_configuration": {"max_chunk_size_chars": 4000, "chunk_overlap_chars": 2000}}`)
	})
	f := w.newFile("a.txt", "x")
	w.upload(c, f, nil)
	most := watchHeap(t, w.drain)
	if s := w.state(c, f); s.Status != gatehouse.DocumentProcessed || s.Chunks < 4000 {
		t.Fatalf("%+v", s)
	}
	t.Logf("at most %d MiB", most>>20)
	if most > 8<<20 {
		t.Errorf("%d MiB for 16 MiB of chunks", most>>20)
	}
}

// watchHeap is the largest live heap while f runs, over what there was.
func watchHeap(t *testing.T, f func()) (most uint64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				runtime.GC()
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc-min(before, m.HeapAlloc))
			}
		}
	}()
	f()
	close(stop)
	<-done
	return most
}

// words extracts so many bytes of words.
type words struct{ bytes int }

func (x words) Extract(_ context.Context, d extract.Document, yield func(extract.Part) error) (extract.Result, error) {
	part := strings.Repeat("some words that are in every part of it. ", 1000)
	for n := 0; n < x.bytes; n += len(part) {
		if err := yield(extract.Part{Text: part, Page: 1 + n/len(part)}); err != nil {
			return extract.Result{}, err
		}
	}
	return extract.Result{}, nil
}

// The chunks of a spill come back as they were, and its files have no name.
func TestASpillKeepsChunks(t *testing.T) {
	at := t.TempDir()
	p, err := newSpill(at)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	want := []index.Chunk{{Text: "one", Page: 3, Vector: []float32{1, -2.5}}, {Text: ""}, {Text: "three\x00ü", Vector: []float32{0, 0}}}
	for _, c := range want {
		if err := errors.Join(p.add(c.Text, c.Page), p.addVector(c.Vector)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		i := 0
		for c, err := range p.chunks() {
			if err != nil || fmt.Sprint(c) != fmt.Sprint(want[i]) {
				t.Errorf("%v, %v; want %v", c, err, want[i])
			}
			i++
		}
		if i != len(want) {
			t.Errorf("%d chunks", i)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(at, "*")); len(left) > 0 {
		t.Errorf("%v", left)
	}
}
