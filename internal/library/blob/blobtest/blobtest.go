// Package blobtest is the conformance suite of blob.Store. Every driver's tests
// call [Run] with a factory; each case gets a store of its own.
package blobtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/blob"
)

// Factory opens an empty store and closes it with the test.
type Factory func(t testing.TB) blob.Store

// Run checks every promise of the contract.
func Run(t *testing.T, factory Factory) {
	for name, keep := range map[string]func(*bench){
		"what was put is read":                     put,
		"a blob may be empty":                      empty,
		"a blob is read from any offset":           offset,
		"the spooled file's offset does not count": spooled,
		"what is not there is not found":           absent,
		"what was deleted is not found":            deleted,
		"all blobs are listed":                     list,
		"a list ends with its reader's error":      listEnds,
		"names of other shapes are refused":        names,
		"a put that fails leaves nothing":          half,
		"a context that has ended ends everything": cancelled,
		"of two puts of a name one is whole":       together,
		"a check leaves nothing":                   check,
		"100 MiB take a few MiB of memory":         large,
	} {
		t.Run(name, func(t *testing.T) { keep(&bench{t, factory(t), t.Context()}) })
	}
}

// bench is one case's store, with shorthands.
type bench struct {
	testing.TB
	s   blob.Store
	ctx context.Context
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) fails(err error, want gatehouse.Code) {
	b.Helper()
	if gatehouse.CodeOf(err) != want {
		b.Fatalf("%v, want %s", err, want)
	}
}

// spool makes a file of some content, read to its end as one that was just
// written is.
func (b *bench) spool(content []byte) *os.File {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "spool"))
	b.ok(err)
	b.Cleanup(func() { f.Close() })
	_, err = f.Write(content)
	b.ok(err)
	return f
}

func (b *bench) put(name string, content []byte) {
	b.Helper()
	b.ok(b.s.Put(b.ctx, name, b.spool(content), int64(len(content))))
}

func (b *bench) read(name string, offset int64) []byte {
	b.Helper()
	r, err := b.s.Open(b.ctx, name, offset)
	b.ok(err)
	content, err := io.ReadAll(r)
	b.ok(errors.Join(err, r.Close()))
	return content
}

func (b *bench) missing(name string) {
	b.Helper()
	_, err := b.s.Open(b.ctx, name, 0)
	b.fails(err, gatehouse.NotFound)
}

func (b *bench) names() []string {
	b.Helper()
	var names []string
	b.ok(b.s.List(b.ctx, func(name string) error { names = append(names, name); return nil }))
	slices.Sort(names)
	return names
}

// name is like those that the library makes.
func name() string { return strings.ToLower(rand.Text()) + "-" + strings.ToLower(rand.Text()) }

func noise(size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	return b
}

func put(b *bench) {
	content := map[string][]byte{name(): noise(1), name(): noise(70_000), "a": noise(9), strings.Repeat("z", blob.MaxName): noise(3)}
	for n, c := range content {
		b.put(n, c)
	}
	for n, c := range content {
		if !bytes.Equal(b.read(n, 0), c) {
			b.Errorf("%s is other bytes", n)
		}
	}
}

func empty(b *bench) {
	n := name()
	b.put(n, nil)
	if got := b.read(n, 0); len(got) > 0 {
		b.Errorf("%d bytes", len(got))
	}
}

func offset(b *bench) {
	n, content := name(), noise(1000)
	b.put(n, content)
	for _, at := range []int64{0, 1, 999, 1000, 5000} {
		if got, want := b.read(n, at), content[min(at, 1000):]; !bytes.Equal(got, want) {
			b.Errorf("from %d: %d bytes, want %d", at, len(got), len(want))
		}
	}
	if r, err := b.s.Open(b.ctx, n, -1); err == nil {
		r.Close()
		b.Error("opened before its beginning")
	}
	if _, err := b.s.Open(b.ctx, name(), 7); gatehouse.CodeOf(err) != gatehouse.NotFound {
		b.Errorf("absent, from an offset: %v", err)
	}
}

func spooled(b *bench) {
	f := b.spool([]byte("content"))
	for _, at := range []int64{0, 3, 7} {
		_, err := f.Seek(at, io.SeekStart)
		b.ok(err)
		n := name()
		b.ok(b.s.Put(b.ctx, n, f, 7))
		if got := b.read(n, 0); string(got) != "content" {
			b.Errorf("from %d: %q", at, got)
		}
	}
}

func absent(b *bench) {
	b.missing(name())
	b.missing("a")
}

func deleted(b *bench) {
	n, other := name(), name()
	b.put(n, []byte("x"))
	b.put(other, []byte("y"))
	b.ok(b.s.Delete(b.ctx, n))
	b.missing(n)
	b.ok(b.s.Delete(b.ctx, n))
	b.ok(b.s.Delete(b.ctx, name()))
	if got := b.names(); !slices.Equal(got, []string{other}) {
		b.Errorf("left: %v", got)
	}
}

func list(b *bench) {
	if got := b.names(); len(got) > 0 {
		b.Fatalf("at first: %v", got)
	}
	want := []string{"a", "aa", "aab"}
	for range 5 {
		want = append(want, name())
	}
	for _, n := range want {
		b.put(n, []byte(n))
	}
	slices.Sort(want)
	if got := b.names(); !slices.Equal(got, want) {
		b.Errorf("%v, want %v", got, want)
	}
}

func listEnds(b *bench) {
	b.put(name(), []byte("x"))
	b.put(name(), []byte("y"))
	enough, calls := errors.New("enough"), 0
	err := b.s.List(b.ctx, func(string) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		b.Errorf("%v after %d calls", err, calls)
	}
}

func names(b *bench) {
	f := b.spool([]byte("x"))
	for _, n := range []string{"", ".", "..", "../x", "a/b", "a\\b", "A", ".new", "a.b", "a\x00", "é", strings.Repeat("a", blob.MaxName+1)} {
		b.fails(b.s.Put(b.ctx, n, f, 1), gatehouse.InvalidArgument)
		_, err := b.s.Open(b.ctx, n, 0)
		b.fails(err, gatehouse.InvalidArgument)
		b.fails(b.s.Delete(b.ctx, n), gatehouse.InvalidArgument)
	}
}

func half(b *bench) {
	for _, size := range []int64{5, 7} {
		n := name()
		if b.s.Put(b.ctx, n, b.spool([]byte("sixsix")), size) == nil {
			b.Errorf("6 bytes passed for %d", size)
		}
		b.missing(n)
	}
	closed := b.spool([]byte("x"))
	closed.Close()
	n := name()
	if b.s.Put(b.ctx, n, closed, 1) == nil {
		b.Error("a closed file was put")
	}
	b.missing(n)
	if got := b.names(); len(got) > 0 {
		b.Errorf("left: %v", got)
	}
}

func cancelled(b *bench) {
	n, never := name(), name()
	b.put(n, []byte("x"))
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	_, err := b.s.Open(ctx, n, 0)
	for what, err := range map[string]error{
		"put":    b.s.Put(ctx, never, b.spool([]byte("y")), 1),
		"open":   err,
		"delete": b.s.Delete(ctx, n),
		"list":   b.s.List(ctx, func(string) error { return nil }),
		"check":  b.s.Check(ctx),
	} {
		if !errors.Is(err, context.Canceled) {
			b.Errorf("%s: %v", what, err)
		}
	}
	if got := b.names(); !slices.Equal(got, []string{n}) {
		b.Errorf("left: %v", got)
	}
}

func together(b *bench) {
	n, content := name(), make([][]byte, 8)
	var all sync.WaitGroup
	for i := range content {
		content[i] = noise(50_000 + i)
		f := b.spool(content[i])
		all.Go(func() {
			if err := b.s.Put(b.ctx, n, f, int64(len(content[i]))); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	got := b.read(n, 0)
	if !slices.ContainsFunc(content, func(c []byte) bool { return bytes.Equal(c, got) }) {
		b.Errorf("%d bytes that nobody put", len(got))
	}
	if left := b.names(); !slices.Equal(left, []string{n}) {
		b.Errorf("%v", left)
	}
}

func check(b *bench) {
	b.ok(b.s.Check(b.ctx))
	if left := b.names(); len(left) > 0 {
		b.Errorf("left: %v", left)
	}
}

// mostMemory is what a blob of any size may add to the heap, allocated and
// freed included in the sampled peak.
const mostMemory = 12 << 20

func large(b *bench) {
	f, size, n := b.spool(nil), int64(100<<20), name()
	block := noise(1 << 20)
	for range size >> 20 {
		_, err := f.Write(block)
		b.ok(err)
	}
	if peak := b.peak(func() { b.ok(b.s.Put(b.ctx, n, f, size)) }); peak > mostMemory {
		b.Errorf("put took %d KiB", peak>>10)
	}
	if peak := b.peak(func() { b.readBlocks(n, block, size) }); peak > mostMemory {
		b.Errorf("read took %d KiB", peak>>10)
	}
}

func (b *bench) readBlocks(name string, block []byte, size int64) {
	r, err := b.s.Open(b.ctx, name, 0)
	b.ok(err)
	defer r.Close()
	got := make([]byte, len(block))
	for range size / int64(len(block)) {
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, block) {
			b.Fatalf("other bytes, or none: %v", err)
		}
	}
	if n, err := r.Read(got); n > 0 || err != io.EOF {
		b.Errorf("behind the end: %d bytes, %v", n, err)
	}
}

// peak is how much the heap grew at most while something ran.
func (b *bench) peak(run func()) uint64 {
	runtime.GC()
	before := heap()
	done, peak := make(chan struct{}), make(chan uint64, 1)
	go func() {
		most := before
		for {
			select {
			case <-done:
				peak <- most - before
				return
			case <-time.After(5 * time.Millisecond):
				most = max(most, heap())
			}
		}
	}()
	defer close(done)
	run()
	done <- struct{}{}
	return <-peak
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
