package verify

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/library"
	"gatehouse/internal/library/blob"
	"gatehouse/internal/library/blob/dir"
	"gatehouse/internal/library/blob/s3"
	"gatehouse/internal/library/extract"
	"gatehouse/internal/library/index"
	indexpostgres "gatehouse/internal/library/index/postgres"
	"gatehouse/internal/library/index/sqlindex"
	indexsqlite "gatehouse/internal/library/index/sqlite"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
)

// remains are what a stopped desk has kept.
type remains struct {
	*desk
	truth store.Store
	blobs blob.Store
	index index.Index
	team  gatehouse.ID
}

// sweep stops the desk and lets the library's own sweeper work on what is left,
// two hours later: the bytes of uploads that were cut off are held for one.
// Then blobs and index have what the store knows, and nothing else. The
// comparison of the index with the store, which would mend it, is not due.
func (d *desk) sweep() {
	d.t.Helper()
	d.stop()
	if left := d.children(); len(left) > 0 {
		d.t.Errorf("extractions outlived their process: %v", left)
	}
	later := func() time.Time { return time.Now().Add(2 * time.Hour) }
	r := &remains{desk: d, truth: d.openStoreAt(later)}
	defer r.truth.Close()
	r.openBlobs()
	r.openIndex()
	defer r.index.Close()
	var err error
	r.team, err = gatehouse.ParseID(d.team)
	d.must(err)
	keys, err := secret.Open(d.Secrets())
	d.must(err)
	spool := filepath.Join(d.DataOf(0), "spool", "uploads")
	s, err := library.New(library.Config{
		Store: r.truth, Blobs: r.blobs, Index: r.index, Sealer: keys, Node: "sweeper", Now: later, Logger: slog.New(slog.DiscardHandler), Spool: spool,
		Extract: &extract.Extractor{Executable: d.binary, Dir: d.dir},
	})
	d.must(err)
	before := len(r.stored())
	r.runUntilClean(s)
	d.empty(spool)
	d.empty(filepath.Join(d.DataOf(0), "spool", "forms"))
	r.compareBlobs(before)
	r.compareIndex()
}

func (r *remains) openBlobs() {
	r.t.Helper()
	var err error
	if r.Objects == nil {
		r.blobs, err = dir.Open(filepath.Join(r.DataOf(0), "blobs"))
		r.must(err)
		r.empty(filepath.Join(r.DataOf(0), "blobs", ".new"))
		return
	}
	b := r.Bucket
	r.blobs, err = s3.Open(r.t.Context(), s3.Config{Endpoint: b.Endpoint, Region: b.Region, Bucket: b.Name, Prefix: "files",
		AccessKey: s3.NewSecret(b.AccessKey), SecretKey: s3.NewSecret(b.SecretKey), Insecure: true})
	r.must(err)
}

func (r *remains) openIndex() {
	r.t.Helper()
	var err error
	if r.Postgres == nil {
		r.index, err = indexsqlite.Open(r.t.Context(), filepath.Join(r.DataOf(0), "index.db"), sqlindex.Options{})
	} else {
		r.index, err = indexpostgres.Open(r.t.Context(), r.DSN(), sqlindex.Options{})
	}
	r.must(err)
}

// empty sees that nothing is left in a directory.
func (d *desk) empty(at string) {
	d.t.Helper()
	left, err := os.ReadDir(at)
	d.must(err)
	if len(left) > 0 {
		d.t.Errorf("%d files are left in %s, the first is %s", len(left), filepath.Base(at), left[0].Name())
	}
}

// children are extractions of this binary that still run.
func (d *desk) children() (left []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		if text, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(text), d.binary+"\x00"+extract.Command) {
			left = append(left, path)
		}
	}
	return left
}

// runUntilClean runs the library until there is nothing more for it to do.
func (r *remains) runUntilClean(s *library.Service) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); !r.clean() && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
	}
	cancel()
	<-done
}

// clean reports that the sweeper has been, and no task is left.
func (r *remains) clean() bool {
	r.t.Helper()
	var tasks int64
	gone, unheld := 0, 0
	ctx := store.System(r.t.Context())
	r.must(r.truth.Work(ctx, func(w store.Work) (err error) { tasks, err = w.TasksLeft(); return err }))
	r.must(r.truth.View(ctx, func(v store.View) error {
		documents, err := v.DocumentsGone(1)
		if err != nil {
			return err
		}
		files, err := v.FilesUnheld(1)
		gone, unheld = len(documents), len(files)
		return err
	}))
	return tasks == 0 && gone == 0 && unheld == 0 && len(r.stored()) == len(r.referred())
}

// stored are the names of blobs that are there.
func (r *remains) stored() map[string]bool {
	r.t.Helper()
	names := map[string]bool{}
	r.must(r.blobs.List(r.t.Context(), func(name string) error { names[name] = true; return nil }))
	return names
}

// referred are the names of blobs that files have.
func (r *remains) referred() map[string]bool {
	r.t.Helper()
	names := map[string]bool{}
	r.must(r.truth.View(store.System(r.t.Context()), func(v store.View) error {
		files, err := v.Files(store.LibraryList{Team: r.team, Sort: gatehouse.SortByAge, Limit: 1_000_000})
		for _, f := range files {
			names[f.Blob] = true
		}
		return err
	}))
	return names
}

func (r *remains) compareBlobs(before int) {
	r.t.Helper()
	stored, referred := r.stored(), r.referred()
	orphans, missing := without(stored, referred), without(referred, stored)
	if len(orphans)+len(missing) > 0 {
		r.t.Errorf("of %d blobs nobody refers to %d: %v; %d are missing: %v", len(stored), len(orphans), some(orphans), len(missing), some(missing))
		return
	}
	r.t.Logf("%d blobs, all referred to; the sweeper took %d", len(stored), before-len(stored))
}

func (r *remains) compareIndex() {
	r.t.Helper()
	entries, documents := map[at]bool{}, map[at]bool{}
	all, err := r.index.Entries(r.t.Context(), 0, 1_000_000)
	r.must(err)
	for _, e := range all {
		if entries[at{e.Collection, e.Document}] {
			r.t.Errorf("document %s is in the index twice", e.Document)
		}
		entries[at{e.Collection, e.Document}] = true
	}
	r.must(r.truth.View(store.System(r.t.Context()), func(v store.View) error {
		collections, err := v.Collections(store.LibraryList{Team: r.team, Sort: gatehouse.SortByAge, Limit: 1_000_000})
		for _, c := range collections {
			in, err := v.Documents(store.LibraryList{Team: r.team, Collection: c.ID, Sort: gatehouse.SortByAge, Limit: 1_000_000})
			if err != nil {
				return err
			}
			for _, d := range in {
				if d.State.Status == gatehouse.DocumentProcessed {
					documents[at{c.ID, d.FileID}] = true
				}
			}
		}
		return err
	}))
	orphans, missing := without(entries, documents), without(documents, entries)
	if len(orphans)+len(missing) > 0 {
		r.t.Errorf("the index has %d documents; %d of them are not PROCESSED or not there: %v; %d are missing: %v", len(entries), len(orphans), some(orphans), len(missing), some(missing))
		return
	}
	r.t.Logf("%d documents in the index, as in the store", len(entries))
}

// without are the keys of a that b has not.
func without[K comparable](a, b map[K]bool) (out []K) {
	for k := range a {
		if !b[k] {
			out = append(out, k)
		}
	}
	return out
}

func some[T any](all []T) []T { return slices.Clone(all[:min(len(all), 3)]) }
