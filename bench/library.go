package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	house "gatehouse"
	"gatehouse/internal/library/chunk"
	"gatehouse/internal/library/extract"
	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/sqlindex"
	"gatehouse/internal/library/index/sqlite"
)

// The prose that is indexed, before it is scaled, and the length of its vectors.
const (
	proseDocuments = 40
	proseSize      = 1 << 20
	proseDimension = 384
)

// runLibrary measures what indexing a document costs but for the embedding call:
// `go run ./bench -only library`. Text is read in a child process, cut by the
// default configuration and put into the index on SQLite with words and vectors,
// which are drawn beforehand.
func runLibrary(p plan) error {
	ix, err := sqlite.Open(context.Background(), filepath.Join(p.dir, "index.db"), sqlindex.Options{})
	if err != nil {
		return err
	}
	defer ix.Close()
	prose, err := readProse()
	if err != nil {
		return err
	}
	binary, err := filepath.Abs(p.binary)
	if err != nil {
		return err
	}
	b := &shelf{prose: prose, ix: ix, x: &extract.Extractor{Executable: binary, Dir: filepath.Join(p.dir, "extract")}, team: house.NewID(), collection: house.NewID()}
	if err := ix.PutCollection(context.Background(), b.team, index.Collection{ID: b.collection}); err != nil {
		return err
	}
	n := max(int(float64(proseDocuments)*p.scale), 1)
	fmt.Printf("\nlibrary: %s, %d CPUs, %s; %d documents of %d KB of prose, chunks of %d tokens, vectors of %d dimensions, SQLite; load %s\n\n",
		cpuModel(), runtime.NumCPU(), runtime.Version(), n, proseSize>>10, chunk.Default().MaxSize, proseDimension, loadAverage())
	for i := range n {
		if err := b.add(i); err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tgoal\tMB/s\tCPU s per MB\tremark")
	for _, s := range []struct {
		what, goal string
		stage
	}{{"extract and cut", "", b.read}, {"put", "", b.put}, {"all", "≥ 5", stage{b.read.took + b.put.took, b.read.cpu + b.put.cpu}}} {
		mb := float64(b.bytes) / 1e6
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%.3f\t%d chunks\n", s.what, s.goal, mb/s.took.Seconds(), s.cpu.Seconds()/mb, b.chunks)
	}
	return w.Flush()
}

// shelf is the measurement.
type shelf struct {
	ix               index.Index
	x                *extract.Extractor
	team, collection house.ID
	prose            []string
	bytes            int64
	chunks           int
	read, put        stage
}

// stage is what a part of the work took, children included.
type stage struct{ took, cpu time.Duration }

func (s *stage) time(f func() error) error {
	began, before := time.Now(), usedCPU()
	err := f()
	s.took, s.cpu = s.took+time.Since(began), s.cpu+usedCPU()-before
	return err
}

func usedCPU() (d time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		_ = syscall.Getrusage(who, &u)
		d += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return d
}

// add takes one document through all stages.
func (b *shelf) add(n int) error {
	ctx, r := context.Background(), rand.New(rand.NewPCG(7, uint64(n)))
	body := b.document(r)
	var chunks []index.Chunk
	cut := chunk.New(chunk.Default(), func(c chunk.Chunk) error {
		chunks = append(chunks, index.Chunk{Text: c.Text})
		return nil
	})
	if err := b.read.time(func() error {
		_, err := b.x.Extract(ctx, extract.Document{Name: "a.txt", Type: "text/plain", Body: bytes.NewReader(body)}, func(p extract.Part) error {
			return cut.Add(p.Text, p.Page)
		})
		return errors.Join(err, cut.Close())
	}); err != nil {
		return err
	}
	for i := range chunks {
		chunks[i].Vector = drawn(r)
	}
	b.bytes, b.chunks = b.bytes+int64(len(body)), b.chunks+len(chunks)
	d := index.Document{ID: house.NewID(), Name: fmt.Sprint(n), ContentType: "text/plain", Size: int64(len(body)), Created: time.Now()}
	return b.put.time(func() error { return b.ix.PutDocument(ctx, b.team, b.collection, d, index.Of(chunks...)) })
}

func drawn(r *rand.Rand) []float32 {
	v := make([]float32, proseDimension)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// readProse is the paragraphs of the product's own documents, which are English
// with the names and figures that documents have.
func readProse() (paragraphs []string, err error) {
	err = filepath.WalkDir("docs", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			if len(line) > 150 && !strings.HasPrefix(line, "|") {
				paragraphs = append(paragraphs, line)
			}
		}
		return err
	})
	if err == nil && len(paragraphs) == 0 {
		err = fmt.Errorf("no documents to draw prose from: run it where docs is")
	}
	return paragraphs, err
}

// document draws paragraphs.
func (b *shelf) document(r *rand.Rand) []byte {
	var out bytes.Buffer
	for out.Len() < proseSize {
		out.WriteString(b.prose[r.IntN(len(b.prose))] + "\n")
	}
	return out.Bytes()
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(text), " ")
	return one
}
