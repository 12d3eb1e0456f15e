package verify

import (
	"context"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// check waits until every document has come to an end, and compares what can be
// seen with what was acknowledged. Nobody works meanwhile.
func (d *desk) check() {
	d.t.Helper()
	began := time.Now()
	s := d.settled()
	settled, checked := time.Since(began), 0
	for _, c := range d.clerks {
		for _, p := range c.papers {
			d.listed("file", p.id, p.file, s.files[p.id])
			if p.document != never {
				d.listed("document", p.id, p.document, s.documents[at{p.collection, p.id}] != nil)
			}
			if !p.seen {
				c.inspect(p, s)
				p.seen, checked = true, checked+1
			}
		}
		for _, id := range c.ended {
			c.buried(id, s)
		}
	}
	d.t.Logf("settled in %v; %d papers looked at in %v; %d files and %d documents are there, %d of them FAILED", settled.Round(time.Millisecond), checked,
		(time.Since(began) - settled).Round(time.Millisecond), len(s.files), len(s.documents), s.failed)
}

// at is a document's place.
type at struct{ collection, file gatehouse.ID }

// sight is what lists show.
type sight struct {
	files     map[gatehouse.ID]bool
	documents map[at]*gatehouse.Document
	live      []gatehouse.ID
	failed    int
}

// settled is what lists show once nothing is processed any more.
func (d *desk) settled() sight {
	d.t.Helper()
	c := d.clerks[0]
	for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		s := sight{files: map[gatehouse.ID]bool{}, documents: map[at]*gatehouse.Document{}}
		var open []*gatehouse.Document
		for _, v := range every(d, c.management.ListCollections, gatehouse.LibraryQuery{}) {
			s.live = append(s.live, v.ID)
			for _, x := range every(d, c.management.ListDocuments, gatehouse.LibraryQuery{CollectionID: v.ID}) {
				s.documents[at{v.ID, x.FileID}] = x
				switch x.State.Status {
				case gatehouse.DocumentProcessed:
				case gatehouse.DocumentFailed:
					s.failed++
				default:
					open = append(open, x)
				}
			}
		}
		for _, f := range every(d, c.files.ListFiles, gatehouse.LibraryQuery{}) {
			s.files[f.ID] = true
		}
		if len(open) == 0 {
			return s
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%d documents come to no end: the first is %s, %+v", len(open), open[0].FileID, open[0].State)
		}
	}
}

// every reads a list to its end.
func every[T any](d *desk, list func(context.Context, gatehouse.LibraryQuery) ([]*T, string, error), q gatehouse.LibraryQuery) (all []*T) {
	d.t.Helper()
	for q.Page.Size = 100; ; {
		var next string
		d.must(d.sure(func(ctx context.Context) error {
			some, n, err := list(ctx, q)
			if err == nil {
				all, next = append(all, some...), n
			}
			return err
		}))
		if q.Page.Token = next; next == "" {
			return all
		}
	}
}

func (d *desk) listed(what string, id gatehouse.ID, said presence, there bool) {
	d.t.Helper()
	switch {
	case said == here && !there:
		d.t.Errorf("%s %s is lost: it was acknowledged, and no list has it", what, id)
	case said == gone && there:
		d.t.Errorf("%s %s is listed: its end was acknowledged", what, id)
	}
}

// inspect looks at one paper through every door.
func (c *clerk) inspect(p *paper, s sight) {
	c.t.Helper()
	now := c.inspectFile(p)
	there := p.document != never && c.inspectDocument(p, now, s)
	if !p.sure {
		c.resolve(p, now, there)
	}
}

// resolve makes what is there what has to be there from now on.
func (c *clerk) resolve(p *paper, now *version, there bool) {
	p.sure, p.file = true, gone
	if p.document != never {
		p.document = gone
	}
	if now == nil {
		return
	}
	p.file = here
	for _, v := range p.versions {
		if v != *now {
			p.past = append(p.past, v.word)
		}
	}
	p.versions = []version{*now}
	switch {
	case there:
		p.document = here
	case !slices.Contains(c.collections, p.collection): // it may be gone itself
		p.collection, p.document = c.collections[0], never
	}
}

// inspectDocument looks at the document that a paper may be, and searches for it.
func (c *clerk) inspectDocument(p *paper, now *version, s sight) (there bool) {
	c.t.Helper()
	var doc *gatehouse.Document
	there = c.exists("document", p.id, p.document, func(ctx context.Context) (err error) {
		doc, err = c.management.GetDocument(ctx, gatehouse.ID{}, p.collection, p.id)
		return err
	})
	found := ""
	switch {
	case !there:
	case now == nil:
		c.t.Errorf("document %s is there, and its file is not", p.id)
	case doc.File.Hash != now.sha256:
		c.t.Errorf("document %s has the hash %s, and its file %s", p.id, doc.File.Hash, now.sha256)
	case doc.State.Status == gatehouse.DocumentProcessed:
		found = now.word
		if now.word == "" {
			c.t.Errorf("document %s was indexed, and cannot be read", p.id)
		}
	case now.word != "" && !strings.Contains(doc.State.Problem, "came to no end"):
		c.t.Errorf("document %s can be read, and is %s: %s", p.id, doc.State.Status, doc.State.Problem)
	}
	for _, v := range p.versions {
		c.finds(p, v.word, v.word == found, s)
	}
	for _, word := range p.past {
		c.finds(p, word, false, s)
	}
	return there
}

// inspectFile returns the version that is there, nil when none is.
func (c *clerk) inspectFile(p *paper) *version {
	c.t.Helper()
	described := c.exists("file", p.id, p.file, func(ctx context.Context) error { _, err := c.files.GetFile(ctx, p.id); return err })
	var sum string
	read := c.exists("content", p.id, p.file, func(ctx context.Context) (err error) { sum, err = c.hash(ctx, p.id); return err })
	if described != read {
		c.t.Errorf("file %s is described: %v, read: %v", p.id, described, read)
	}
	if !read {
		return nil
	}
	i := slices.IndexFunc(p.versions, func(v version) bool { return v.sha256 == sum })
	if i < 0 {
		c.t.Errorf("file %s has bytes that nobody sent, or sent before: %s; want %+v", p.id, sum, p.versions)
		return &version{sha256: sum}
	}
	return &p.versions[i]
}

// exists asks for something, and compares with what was said of it.
func (c *clerk) exists(what string, id gatehouse.ID, said presence, ask func(context.Context) error) (there bool) {
	c.t.Helper()
	err := c.sure(ask)
	switch {
	case err == nil && said == gone:
		c.t.Errorf("%s %s is there: its end was acknowledged", what, id)
	case err != nil && gatehouse.CodeOf(err) != gatehouse.NotFound:
		c.t.Errorf("%s %s: %v", what, id, err)
	case err != nil && said == here:
		c.t.Errorf("%s %s is lost: it was acknowledged", what, id)
	}
	return err == nil
}

// finds searches for a word, which one document at most has.
func (c *clerk) finds(p *paper, word string, want bool, s sight) {
	c.t.Helper()
	if word == "" {
		return
	}
	var matches []gatehouse.SearchMatch
	c.must(c.sure(func(ctx context.Context) (err error) {
		matches, err = c.files.SearchDocuments(ctx, gatehouse.Search{Query: word, Collections: s.live[:min(len(s.live), 100)], Mode: "keyword"})
		return err
	}))
	switch {
	case want && (len(matches) != 1 || matches[0].FileID != p.id || !strings.Contains(matches[0].Text, word)):
		c.t.Errorf("document %s is PROCESSED, and %q finds %d chunks", p.id, word, len(matches))
	case !want && len(matches) > 0:
		c.t.Errorf("%q of %s finds %d chunks, the first of %s: it is not there any more", word, p.id, len(matches), matches[0].FileID)
	}
}

// buried sees that nothing is left of a collection.
func (c *clerk) buried(id gatehouse.ID, s sight) {
	c.t.Helper()
	if slices.Contains(s.live, id) {
		c.t.Errorf("collection %s is listed: its end was acknowledged", id)
	}
	c.exists("collection", id, gone, func(ctx context.Context) error {
		_, err := c.management.GetCollection(ctx, gatehouse.ID{}, id)
		return err
	})
	c.exists("search of collection", id, gone, func(ctx context.Context) error {
		_, err := c.files.SearchDocuments(ctx, gatehouse.Search{Query: "archive", Collections: []gatehouse.ID{id}, Mode: "keyword"})
		return err
	})
}
