package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse"
)

type documentsCmd struct {
	Upload  documentsUploadCmd  `cmd:"" help:"Upload files into a collection, which then owns them."`
	Add     documentsAddCmd     `cmd:"" help:"Put a file that the team has into a collection."`
	List    documentsListCmd    `cmd:"" help:"List a collection's documents by name."`
	Get     documentsGetCmd     `cmd:"" help:"Show one document, and how far indexing it has come."`
	Update  documentsUpdateCmd  `cmd:"" help:"Change what is given of a document, which is then indexed again."`
	Reindex documentsReindexCmd `cmd:"" help:"Extract, cut and index a document again."`
	Remove  documentsRemoveCmd  `cmd:"" help:"Take documents out of a collection. Files that were uploaded as files stay."`
	Wait    documentsWaitCmd    `cmd:"" help:"Wait until documents can be found; exit code 1 when one failed, 6 when it takes too long."`
}

// inCollection is where a document command works.
type inCollection struct {
	ofTeam
	Collection gatehouse.ID `arg:"" help:"The collection's id."`
}

// fieldValues are the values of a document's fields.
type fieldValues struct {
	Field map[string]string `help:"Value of a field. Repeatable." placeholder:"K=V" mapsep:"none"`
}

// patience is how long indexing is waited for.
type patience struct {
	Within time.Duration `help:"How long to wait for indexing; then exit code 6." default:"10m"`
}

type documentsUploadCmd struct {
	remote
	inCollection
	fieldValues
	patience
	File []string `arg:"" help:"Files on this machine. When one fails the others still go; exit code 1. Each has a second more for every 128 KiB." placeholder:"FILE"`
	Name string   `help:"What to call it. Default: the file's own name. For one file." placeholder:"NAME"`
	Wait bool     `help:"Wait until they can be found."`
}

// Run uploads documents.
func (c *documentsUploadCmd) Run(e *env) error {
	if err := oneName(c.Name, c.File); err != nil {
		return err
	}
	longer := forBytes(weigh(c.File))
	if c.Wait {
		longer += c.Within
	}
	return c.do(e, longer, func(s *session) error {
		var ids []gatehouse.ID
		p := e.progress()
		failed := s.several("uploaded", c.File, func(path string) error {
			d, err := c.upload(s, p, path)
			if err != nil {
				p.clear()
				return err
			}
			ids = append(ids, d.FileID)
			p.done("uploaded %s, %s", escaped(d.File.Name), size(d.File.Size))
			if c.Wait && s.json { // what is there in the end is printed
				return nil
			}
			return s.show(func(w io.Writer) { fmt.Fprintln(w, fileID(d.FileID)) })
		})
		if c.Wait && len(ids) > 0 {
			if err := c.wait(s, c.Team, c.Collection, ids); err != nil && failed == nil {
				return err
			}
		}
		return failed
	})
}

func (c *documentsUploadCmd) upload(s *session, p *progress, path string) (*gatehouse.Document, error) {
	in, err := open(path, c.Name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return s.UploadDocument(s, c.Collection, gatehouse.NewFile{
		TeamID: c.Team, Name: in.name, Content: p.watch(in, escaped(in.name), in.size),
	}, c.Field)
}

type documentsAddCmd struct {
	remote
	inCollection
	fieldValues
	patience
	ID   gatehouse.ID `arg:"" name:"file-id" help:"The file's id."`
	Wait bool         `help:"Wait until it can be found."`
}

// Run adds a document.
func (c *documentsAddCmd) Run(e *env) error {
	return c.do(e, c.Within, func(s *session) error {
		if err := s.AddDocument(s, c.Team, c.Collection, c.ID, c.Field); err != nil {
			return err
		}
		if c.Wait {
			return c.wait(s, c.Team, c.Collection, []gatehouse.ID{c.ID})
		}
		return s.show(func(w io.Writer) { fmt.Fprintln(w, "document", fileID(c.ID), "is to be indexed") })
	})
}

type documentsListCmd struct {
	remote
	inCollection
	paging
	Filter string `help:"Only those that fit, such as 'name:\"quarterly\" AND status:!DOCUMENT_STATUS_FAILED'." placeholder:"FILTER"`
	Sort   string `help:"By what: name, age or size." enum:"name,age,size" default:"name"`
	Desc   bool   `help:"Last, newest or largest first."`
}

// Run lists documents.
func (c *documentsListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]*gatehouse.Document, string, error) {
			return s.ListDocuments(s, gatehouse.LibraryQuery{
				TeamID: c.Team, CollectionID: c.Collection, Filter: c.Filter, Sort: gatehouse.LibrarySort(c.Sort), Ascending: !c.Desc, Page: p,
			})
		})
		if err != nil {
			return err
		}
		return s.table("ID STATUS CHUNKS SIZE NAME", each(all, func(d *gatehouse.Document) []string {
			return []string{fileID(d.FileID), string(d.State.Status), strconv.Itoa(d.State.Chunks), size(d.File.Size), escaped(d.File.Name)}
		}))
	})
}

// document prints one.
func (s *session) document(d *gatehouse.Document, err error) error {
	if err != nil {
		return err
	}
	out := []string{
		"id", fileID(d.FileID), "name", escaped(d.File.Name), "status", string(d.State.Status), "problem", escaped(d.State.Problem),
		"chunks", strconv.Itoa(d.State.Chunks), "indexed", clock(d.State.IndexTime, "never"), "size", size(d.File.Size), "content type", d.File.ContentType,
		"sha256", d.File.Hash, "created", clock(d.File.CreateTime, ""), "expires", clock(d.File.ExpireTime, ""),
	}
	for _, key := range slices.Sorted(maps.Keys(d.Fields)) {
		out = append(out, "field", escaped(key+"="+d.Fields[key]))
	}
	return s.record(out...)
}

// aDocument names one.
type aDocument struct {
	inCollection
	ID gatehouse.ID `arg:"" name:"file-id" help:"The file's id."`
}

type documentsGetCmd struct {
	remote
	aDocument
}

// Run shows a document.
func (c *documentsGetCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.document(s.GetDocument(s, c.Team, c.Collection, c.ID)) })
}

type documentsUpdateCmd struct {
	remote
	aDocument
	Name        *string           `help:"New name." placeholder:"NAME"`
	ContentType *string           `help:"New content type." placeholder:"TYPE"`
	Field       map[string]string `help:"Replace all fields. Repeatable." placeholder:"K=V" mapsep:"none"`
	File        string            `help:"Replace the content by that of this file." type:"existingfile" placeholder:"FILE"`
}

// Run updates a document.
func (c *documentsUpdateCmd) Run(e *env) error {
	u := gatehouse.DocumentUpdate{
		TeamID: c.Team, CollectionID: c.Collection, FileID: c.ID, Name: opt(c.Name), ContentType: opt(c.ContentType),
		Fields: gatehouse.Opt[map[string]string]{Set: len(c.Field) > 0, Value: c.Field},
	}
	if !u.Name.Set && !u.ContentType.Set && !u.Fields.Set && c.File == "" {
		return something(nil)
	}
	if c.File != "" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		u.Content = f
	}
	return c.do(e, 0, func(s *session) error { return s.document(s.UpdateDocument(s, u)) })
}

type documentsReindexCmd struct {
	remote
	aDocument
	patience
	Wait bool `help:"Wait until it can be found again."`
}

// Run has a document indexed again.
func (c *documentsReindexCmd) Run(e *env) error {
	return c.do(e, c.Within, func(s *session) error {
		if err := s.ReindexDocument(s, c.Team, c.Collection, c.ID); err != nil {
			return err
		}
		if c.Wait {
			return c.wait(s, c.Team, c.Collection, []gatehouse.ID{c.ID})
		}
		return s.show(func(w io.Writer) { fmt.Fprintln(w, "document", fileID(c.ID), "is to be indexed again") })
	})
}

type documentsRemoveCmd struct {
	remote
	inCollection
	ID []gatehouse.ID `arg:"" name:"file-id" help:"The files' ids."`
}

// Run removes documents.
func (c *documentsRemoveCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		return s.several("removed", each(c.ID, fileID), func(text string) error {
			id, err := gatehouse.ParseID(text)
			if err == nil {
				err = s.RemoveDocument(s, c.Team, c.Collection, id)
			}
			return s.gone("document", text, err)
		})
	})
}

type documentsWaitCmd struct {
	remote
	inCollection
	patience
	ID []gatehouse.ID `arg:"" optional:"" name:"file-id" help:"The files' ids. Default: every document of the collection."`
}

// Run waits for documents.
func (c *documentsWaitCmd) Run(e *env) error {
	return c.do(e, c.Within, func(s *session) error {
		ids := c.ID
		for at := (gatehouse.Page{}); len(c.ID) == 0; {
			some, next, err := s.ListDocuments(s, gatehouse.LibraryQuery{TeamID: c.Team, CollectionID: c.Collection, Sort: gatehouse.SortByName, Ascending: true, Page: at})
			if err != nil {
				return err
			}
			ids = append(ids, each(some, func(d *gatehouse.Document) gatehouse.ID { return d.FileID })...)
			if at.Token = next; next == "" {
				break
			}
		}
		return c.wait(s, c.Team, c.Collection, ids)
	})
}

// The pauses between two looks: short for what is small, and then longer.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// wait returns when each of some documents is indexed or has failed.
func (c patience) wait(s *session, team, collection gatehouse.ID, ids []gatehouse.ID) error {
	w := &waiting{s: s, p: s.e.progress(), team: team, collection: collection, all: len(ids), left: ids}
	defer w.p.clear()
	end := time.Now().Add(c.Within)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if err := w.look(); err != nil {
			return err
		}
		if len(w.left) == 0 {
			break
		}
		if time.Now().Add(pause).After(end) {
			return gatehouse.Errorf(gatehouse.DeadlineExceeded, "%d of %d documents are not indexed after %s", len(w.left), w.all, c.Within)
		}
		select {
		case <-s.Done():
			return s.Err()
		case <-time.After(pause):
		}
	}
	if err := w.print(ids); err != nil || w.failed == 0 {
		return err
	}
	return fmt.Errorf("%d of %d documents could not be indexed", w.failed, w.all)
}

// waiting is a wait for documents.
type waiting struct {
	s                *session
	p                *progress
	team, collection gatehouse.ID
	all, failed      int
	left             []gatehouse.ID
}

// look asks about those that were not done, and keeps those that are still not.
func (w *waiting) look() error {
	var left []gatehouse.ID
	for some := range slices.Chunk(w.left, askAtOnce) {
		docs, err := w.s.GetDocuments(w.s, w.team, w.collection, some)
		if err != nil {
			return err
		}
		for _, d := range docs {
			if !w.told(d, w.all-len(w.left)) {
				left = append(left, d.FileID)
			}
			if d.State.Status == gatehouse.DocumentFailed {
				w.failed++
			}
		}
	}
	w.left = left
	return nil
}

// askAtOnce is how many documents one look asks for: their ids have to fit into
// a URL.
const askAtOnce = 100

// print shows the documents as they are now, to programs.
func (w *waiting) print(ids []gatehouse.ID) error {
	for some := range slices.Chunk(ids, askAtOnce) {
		if !w.s.json {
			break
		}
		if _, err := w.s.GetDocuments(w.s, w.team, w.collection, some); err != nil {
			return err
		}
		if err := w.s.show(func(io.Writer) {}); err != nil {
			return err
		}
	}
	return nil
}

// told says how far a document has come, and whether that is the end.
func (w *waiting) told(d *gatehouse.Document, done int) bool {
	p := w.p
	name := escaped(d.File.Name)
	switch d.State.Status {
	case gatehouse.DocumentProcessed:
		p.done("indexed %s, chunks: %d", name, d.State.Chunks)
	case gatehouse.DocumentFailed:
		p.done("failed %s: %s", name, escaped(d.State.Problem))
	default:
		chunks := ""
		if d.State.Chunks > 0 {
			chunks = fmt.Sprintf(", %d of %d chunks", d.State.ChunksDone, d.State.Chunks)
		}
		p.at("%d of %d indexed; %s: %s%s", done, w.all, name, strings.ToLower(string(d.State.Status)), chunks)
		return false
	}
	return true
}
