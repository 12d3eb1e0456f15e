package library

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/blob"
	"gatehouse/internal/library/blob/dir"
	"gatehouse/internal/library/extract"
	"gatehouse/internal/library/index"
	"gatehouse/internal/library/index/sqlindex"
	indexsqlite "gatehouse/internal/library/index/sqlite"
	"gatehouse/internal/store"
	"gatehouse/internal/store/sqlite"
	"gatehouse/internal/store/storetest"
)

// workshop is a library over real engines, with a clock that stands still.
type workshop struct {
	testing.TB
	*Service
	ctx   context.Context
	blobs *dir.Store
	team  gatehouse.ID

	mu  sync.Mutex
	now time.Time
}

func newWorkshop(t testing.TB, change func(*Config)) *workshop {
	t.Helper()
	w := &workshop{TB: t, ctx: store.System(t.Context()), team: gatehouse.NewID(), now: time.Date(2026, 3, 12, 12, 0, 0, 0, time.UTC)}
	at := t.TempDir()
	truth, err := sqlite.Open(w.ctx, filepath.Join(at, "truth.db"), sqlite.Options{Guard: storetest.NewGuard("test"), Now: w.clock})
	w.must(err)
	t.Cleanup(func() { truth.Close() })
	found, err := indexsqlite.Open(w.ctx, filepath.Join(at, "index.db"), sqlindex.Options{Now: w.clock})
	w.must(err)
	t.Cleanup(func() { found.Close() })
	w.blobs, err = dir.Open(filepath.Join(at, "blobs"))
	w.must(err)
	t.Cleanup(func() { w.blobs.Close() })
	c := Config{Store: truth, Blobs: w.blobs, Index: found, Extract: plain{}, Sealer: noPages{}, Spool: filepath.Join(at, "spool"), Node: "n", Now: w.clock,
		Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	w.Service, err = New(c)
	w.must(err)
	return w
}

func (w *workshop) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *workshop) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *workshop) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// plain extracts by reading: the whole is the text.
type plain struct{}

func (plain) Extract(_ context.Context, d extract.Document, yield func(extract.Part) error) (extract.Result, error) {
	b, err := io.ReadAll(d.Body)
	if err == nil {
		err = yield(extract.Part{Text: string(b)})
	}
	return extract.Result{Bytes: int64(len(b))}, err
}

// real extracts in a child, which is this test's own program.
func real(t testing.TB) extractor {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &extract.Extractor{Executable: self, Dir: t.TempDir()}
}

type noPages struct{}

func (noPages) SealPage(string, []byte) (string, error) { return "", nil }
func (noPages) OpenPage(string, string) ([]byte, error) { return nil, nil }

func (w *workshop) update(f func(store.Tx) error) {
	w.Helper()
	_, err := w.Store.Update(w.ctx, gatehouse.Cause{}, f)
	w.must(err)
}

func (w *workshop) act(action string) gatehouse.Act {
	return gatehouse.Act{Action: action, Operation: "Test", TeamID: w.team, Result: gatehouse.Done}
}

// collect makes a collection; change fills in what a case is about.
func (w *workshop) collect(change func(*gatehouse.Collection)) *gatehouse.Collection {
	w.Helper()
	c := &gatehouse.Collection{ID: gatehouse.NewID(), TeamID: w.team, Name: "c", Chunks: []byte("{}"), Metric: "cosine", CreateTime: w.clock()}
	if change != nil {
		change(c)
	}
	w.update(func(tx store.Tx) error { return tx.PutCollection(c, w.act("collection.created")) })
	return c
}

// keepBytes keeps bytes and names their blob.
func (w *workshop) keepBytes(content string) (name, hash string) {
	w.Helper()
	sum := sha256.Sum256([]byte(content))
	hash = hex.EncodeToString(sum[:])
	name = blobName(hash)
	at, err := os.CreateTemp(w.TempDir(), "")
	w.must(err)
	defer at.Close()
	_, err = at.WriteString(content)
	w.must(err)
	until := w.clock().Add(time.Minute)
	w.must(w.Store.Work(w.ctx, func(work store.Work) error {
		return work.PlanBlob(store.Blob{Name: name, Team: w.team, Hash: hash, Size: int64(len(content))}, until)
	}))
	w.must(w.blobs.Put(w.ctx, name, at, int64(len(content))))
	w.must(w.Store.Work(w.ctx, func(work store.Work) error { return work.StoredBlob(name, until) }))
	return name, hash
}

func (w *workshop) newFile(name, content string) *gatehouse.File {
	w.Helper()
	blob, hash := w.keepBytes(content)
	return &gatehouse.File{ID: gatehouse.NewID(), TeamID: w.team, Name: name, ContentType: "text/plain", Size: int64(len(content)), Hash: hash, Blob: blob, CreateTime: w.clock()}
}

// upload keeps a file and puts it into a collection.
func (w *workshop) upload(c *gatehouse.Collection, f *gatehouse.File, fields map[string]string) {
	w.Helper()
	w.update(func(tx store.Tx) error {
		if err := tx.PutFile(f, w.act("file.uploaded")); err != nil {
			return err
		}
		return tx.PutDocument(&gatehouse.Document{CollectionID: c.ID, FileID: f.ID, TeamID: w.team, Fields: fields, CreateTime: w.clock()}, w.act("document.added"))
	})
}

// drain works until there is no task that is due.
func (w *workshop) drain() {
	w.Helper()
	for {
		worked, err := w.step(w.ctx)
		w.must(err)
		if !worked {
			return
		}
	}
}

func (w *workshop) state(c *gatehouse.Collection, f *gatehouse.File) (s gatehouse.DocumentState) {
	w.Helper()
	w.must(w.Store.View(w.ctx, func(v store.View) error {
		d, err := v.Document(c.ID, f.ID)
		if err == nil {
			s = d.State
		}
		return err
	}))
	return s
}

// failed checks that a document is FAILED, why, and that nothing of it is found.
func (w *workshop) failed(c *gatehouse.Collection, f *gatehouse.File, words string) {
	w.Helper()
	if s := w.state(c, f); s.Status != gatehouse.DocumentFailed || !strings.Contains(s.Problem, words) {
		w.Errorf("%+v, want FAILED: %s", s, words)
	}
	for _, e := range w.entries() {
		if e.Document == f.ID {
			w.Error("the index has it")
		}
	}
}

func (w *workshop) entries() []index.Entry {
	w.Helper()
	all, err := w.Index.Entries(w.ctx, 0, 1000)
	w.must(err)
	return all
}

// finds is the texts that words find, sorted.
func (w *workshop) finds(c gatehouse.ID, words string) (out []string) {
	w.Helper()
	found, err := w.Index.Search(w.ctx, w.team, index.Query{Text: words, Collections: []gatehouse.ID{c}, Mode: index.Keyword, Limit: 100})
	w.must(err)
	for _, m := range found {
		out = append(out, m.Text)
	}
	slices.Sort(out)
	return out
}

// letters embeds a text by how often it has the first letters.
type letters struct {
	dimension int
	calls     int
	err       func(call int) error
}

func (l *letters) Embed(_ context.Context, _ gatehouse.ID, _ string, texts []string) ([][]float32, error) {
	l.calls++
	if l.err != nil {
		if err := l.err(l.calls); err != nil {
			return nil, err
		}
	}
	out := make([][]float32, len(texts))
	for i, t := range texts {
		out[i] = make([]float32, l.dimension)
		for j := range out[i] {
			out[i][j] = float32(1 + strings.Count(t, string(rune('a'+j))))
		}
	}
	return out, nil
}

func (*letters) Complete(context.Context, gatehouse.ID, string, string) (string, error) {
	return "", fmt.Errorf("not asked")
}

// stubborn deletes nothing.
type stubborn struct{ blob.Store }

func (stubborn) Delete(context.Context, string) error {
	return gatehouse.Errorf(gatehouse.Unavailable, "not now")
}
