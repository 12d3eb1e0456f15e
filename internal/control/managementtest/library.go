package managementtest

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"gatehouse"
)

// Librarian is the part of the management plane that keeps documents.
type Librarian interface {
	gatehouse.Collections
	gatehouse.Documents
}

// RunLibrary checks the library of an implementation whose clients are a
// Librarian too. The installation embeds nothing; whether anybody indexes what
// is put in makes no difference.
func RunLibrary(t *testing.T, make Factory) {
	for _, c := range []struct {
		promise string
		check   func(*testing.T, *stacks)
	}{
		{"a collection is kept, changed and deleted", collections},
		{"every mistake in a collection is named at once", badCollections},
		{"collections are listed in pages by name or age", collectionPages},
		{"an uploaded document is kept and goes with its last collection", documents},
		{"fields are held to their definitions", documentFields},
		{"documents are found several at once and listed in pages", documentLists},
		{"an update changes what it names and no more", documentUpdates},
		{"a refused upload leaves nothing", refusedUploads},
		{"another team's collections and documents are not there", libraryIsolation},
		{"who may read need not be allowed to write", libraryScopes},
		{"what happens to documents is in the log", libraryAudit},
	} {
		t.Run(strings.ReplaceAll(c.promise, " ", "_"), func(t *testing.T) {
			in := make(t)
			p := &plane{Installation: in, Client: in.As(in.Root), ctx: t.Context()}
			c.check(t, &stacks{p, librarian(t, p.Client)})
		})
	}
}

func librarian(t *testing.T, c Client) Librarian {
	t.Helper()
	l, ok := c.(Librarian)
	if !ok {
		t.Fatalf("%T is no Librarian", c)
	}
	return l
}

// stacks is an installation with a library.
type stacks struct {
	*plane
	Librarian
}

func (s *stacks) collection(t *testing.T, name string, fields ...gatehouse.FieldDefinition) *gatehouse.CollectionView {
	t.Helper()
	return must[*gatehouse.CollectionView](t)(s.CreateCollection(s.ctx, &gatehouse.Collection{Name: name, Fields: fields}))
}

// upload puts text into a collection.
func (s *stacks) upload(c gatehouse.ID, name, text string, fields map[string]string) (*gatehouse.Document, error) {
	return s.UploadDocument(s.ctx, c, gatehouse.NewFile{Name: name, ContentType: "text/plain", Content: strings.NewReader(text)}, fields)
}

func (s *stacks) document(t *testing.T, c gatehouse.ID, name string) *gatehouse.Document {
	t.Helper()
	return must[*gatehouse.Document](t)(s.upload(c, name, "text of "+name, nil))
}

var none gatehouse.ID

func collections(t *testing.T, s *stacks) {
	made := must[*gatehouse.CollectionView](t)(s.CreateCollection(s.ctx, &gatehouse.Collection{
		Name: " Papers ", Description: "a\nb", Metric: "euclidean", Chunks: json.RawMessage(`{"chars_configuration":{"max_chunk_size_chars":100,"chunk_overlap_chars":10}}`),
		Fields: []gatehouse.FieldDefinition{{Key: "isbn", Required: true, Unique: true, Inject: true, Description: "of the book"}},
	}))
	if made.Name != "Papers" || made.ID.IsZero() || made.CreateTime.IsZero() || len(made.Fields) != 1 || made.Fields[0].Description != "of the book" {
		t.Errorf("created %+v", made.Collection)
	}
	changed := must[*gatehouse.CollectionView](t)(s.UpdateCollection(s.ctx, gatehouse.CollectionUpdate{
		ID: made.ID, Description: gatehouse.Some("c"), AddFields: []gatehouse.FieldDefinition{{Key: "year"}}, RemoveFields: []string{"isbn"},
	}))
	if changed.Name != "Papers" || changed.Description != "c" || len(changed.Fields) != 1 || changed.Fields[0].Key != "year" {
		t.Errorf("updated %+v", changed.Collection)
	}
	s.document(t, made.ID, "a.txt")
	got := must[*gatehouse.CollectionView](t)(s.GetCollection(s.ctx, none, made.ID))
	if got.Description != "c" || got.Documents != 1 || got.Bytes != int64(len("text of a.txt")) || !strings.Contains(string(got.Chunks), "chars_configuration") {
		t.Errorf("read %+v %d %d", got.Collection, got.Documents, got.Bytes)
	}
	want(t, gatehouse.FailedPrecondition, second(s.DescribeCollection(s.ctx, none, made.ID)))
	ok(t, s.DeleteCollection(s.ctx, none, made.ID))
	want(t, gatehouse.NotFound, s.DeleteCollection(s.ctx, none, made.ID))
	want(t, gatehouse.NotFound, second(s.GetCollection(s.ctx, none, made.ID)))
	want(t, gatehouse.NotFound, second(s.UpdateCollection(s.ctx, gatehouse.CollectionUpdate{ID: made.ID, Name: gatehouse.Some("x")})))
	want(t, gatehouse.NotFound, second(s.upload(made.ID, "a", "x", nil)))
}

func badCollections(t *testing.T, s *stacks) {
	_, err := s.CreateCollection(s.ctx, &gatehouse.Collection{
		Name: strings.Repeat("x", 129), Description: strings.Repeat("x", gatehouse.MaxDescription+1), Model: "none",
		Chunks: json.RawMessage(`{"bytes_configuration":{"max_chunk_size_bytes":1}}`), Fields: []gatehouse.FieldDefinition{{Key: "a"}, {Key: "a"}},
	})
	for _, field := range []string{"collection_name", "collection_description", "index_configuration.model_name", "max_chunk_size_bytes", "field_definitions"} {
		wantField(t, field, err)
	}
	c := s.collection(t, "c")
	for field, u := range map[string]gatehouse.CollectionUpdate{
		"collection_name":          {Name: gatehouse.Some(strings.Repeat("x", 129))},
		"field_definition_updates": {AddFields: []gatehouse.FieldDefinition{{Key: "a", Required: true}}},
	} {
		u.ID = c.ID
		wantField(t, field, second(s.UpdateCollection(s.ctx, u)))
	}
}

func collectionPages(t *testing.T, s *stacks) {
	for _, name := range []string{"b", "a", "c", "a"} {
		s.collection(t, name)
	}
	names := func(q gatehouse.LibraryQuery) (out string) {
		for range 5 {
			page, next, err := s.ListCollections(s.ctx, q)
			ok(t, err)
			for _, c := range page {
				out += c.Name
			}
			if q.Page.Token = next; next == "" {
				break
			}
		}
		return out
	}
	for want, q := range map[string]gatehouse.LibraryQuery{
		"cbaa": {}, "aabc": {Ascending: true}, "baca": {Sort: gatehouse.SortByAge, Ascending: true}, "b": {Filter: `collection_name:"B" AND documents_count:<1`},
	} {
		q.Page.Size = 3
		if got := names(q); got != want {
			t.Errorf("%+v: %s, want %s", q, got, want)
		}
	}
	wantField(t, "filter", third(s.ListCollections(s.ctx, gatehouse.LibraryQuery{Filter: "colour:red"})))
	_, next, err := s.ListCollections(s.ctx, gatehouse.LibraryQuery{Page: gatehouse.Page{Size: 1}})
	ok(t, err)
	wantField(t, "pagination_token", third(s.ListCollections(s.ctx, gatehouse.LibraryQuery{Ascending: true, Page: gatehouse.Page{Token: next}})))
}

func documents(t *testing.T, s *stacks) {
	one, two := s.collection(t, "one"), s.collection(t, "two")
	d := s.document(t, one.ID, "a.txt")
	if d.File == nil || d.File.Name != "a.txt" || d.File.Size != 13 || len(d.File.Hash) != 64 || d.File.ContentType != "text/plain" || d.State.Status == "" {
		t.Fatalf("uploaded %+v %+v", d, d.File)
	}
	ok(t, s.AddDocument(s.ctx, none, two.ID, d.FileID, nil))
	ok(t, s.AddDocument(s.ctx, none, two.ID, d.FileID, nil))
	ok(t, s.ReindexDocument(s.ctx, none, two.ID, d.FileID))
	ok(t, s.RemoveDocument(s.ctx, none, one.ID, d.FileID))
	want(t, gatehouse.NotFound, s.RemoveDocument(s.ctx, none, one.ID, d.FileID))
	want(t, gatehouse.NotFound, s.ReindexDocument(s.ctx, none, one.ID, d.FileID))
	want(t, gatehouse.NotFound, second(s.GetDocument(s.ctx, none, one.ID, d.FileID)))
	must[*gatehouse.Document](t)(s.GetDocument(s.ctx, none, two.ID, d.FileID))
	ok(t, s.DeleteCollection(s.ctx, none, two.ID))
	want(t, gatehouse.NotFound, s.AddDocument(s.ctx, none, one.ID, d.FileID, nil))
	want(t, gatehouse.NotFound, s.AddDocument(s.ctx, none, one.ID, gatehouse.NewID(), nil))
}

func documentFields(t *testing.T, s *stacks) {
	c := s.collection(t, "c", gatehouse.FieldDefinition{Key: "isbn", Required: true, Unique: true})
	wantField(t, "fields.isbn", second(s.upload(c.ID, "a", "x", nil)))
	wantField(t, "fields.colour", second(s.upload(c.ID, "a", "x", map[string]string{"isbn": "1", "colour": "red"})))
	d := must[*gatehouse.Document](t)(s.upload(c.ID, "a", "x", map[string]string{"isbn": "1"}))
	want(t, gatehouse.AlreadyExists, second(s.upload(c.ID, "b", "y", map[string]string{"isbn": "1"})))
	want(t, gatehouse.AlreadyExists, s.AddDocument(s.ctx, none, c.ID, d.FileID, map[string]string{"isbn": "2"}))
	must[*gatehouse.CollectionView](t)(s.UpdateCollection(s.ctx, gatehouse.CollectionUpdate{ID: c.ID, RemoveFields: []string{"isbn"}}))
	if got := must[*gatehouse.Document](t)(s.GetDocument(s.ctx, none, c.ID, d.FileID)); len(got.Fields) != 0 {
		t.Errorf("a removed field is shown: %v", got.Fields)
	}
	must[*gatehouse.CollectionView](t)(s.UpdateCollection(s.ctx, gatehouse.CollectionUpdate{ID: c.ID, AddFields: []gatehouse.FieldDefinition{{Key: "isbn"}}}))
	if got := must[*gatehouse.Document](t)(s.GetDocument(s.ctx, none, c.ID, d.FileID)); len(got.Fields) != 0 {
		t.Errorf("a field came back with its value: %v", got.Fields)
	}
}

func documentLists(t *testing.T, s *stacks) {
	c := s.collection(t, "c", gatehouse.FieldDefinition{Key: "k"})
	a := must[*gatehouse.Document](t)(s.upload(c.ID, "a.txt", "long text", map[string]string{"k": "v"}))
	b := must[*gatehouse.Document](t)(s.upload(c.ID, "b.txt", "text", nil))
	both := must[[]*gatehouse.Document](t)(s.GetDocuments(s.ctx, none, c.ID, []gatehouse.ID{b.FileID, a.FileID}))
	if len(both) != 2 || both[0].FileID != b.FileID || both[1].Fields["k"] != "v" {
		t.Errorf("at once: %+v", both)
	}
	want(t, gatehouse.NotFound, second(s.GetDocuments(s.ctx, none, c.ID, []gatehouse.ID{b.FileID, gatehouse.NewID()})))
	wantField(t, "file_ids", second(s.GetDocuments(s.ctx, none, c.ID, nil)))
	for want, q := range map[string]gatehouse.LibraryQuery{
		"b.txta.txt": {}, "a.txtb.txt": {Ascending: true}, "b.txta.txt ": {Sort: gatehouse.SortBySize, Ascending: true},
		"a.txt": {Filter: `fields.k="v"`}, "b.txt": {Filter: `name:"B" AND size_bytes:<5`},
	} {
		q.CollectionID, q.Page.Size = c.ID, 1
		var got string
		for range 3 {
			page, next, err := s.ListDocuments(s.ctx, q)
			ok(t, err)
			for _, d := range page {
				got += d.File.Name
			}
			if q.Page.Token = next; next == "" {
				break
			}
		}
		if got != strings.TrimSpace(want) {
			t.Errorf("%+v: %s, want %s", q, got, want)
		}
	}
	wantField(t, "filter", third(s.ListDocuments(s.ctx, gatehouse.LibraryQuery{CollectionID: c.ID, Filter: "colour:red"})))
}

func documentUpdates(t *testing.T, s *stacks) {
	c := s.collection(t, "c", gatehouse.FieldDefinition{Key: "k"})
	d := must[*gatehouse.Document](t)(s.upload(c.ID, "a.txt", "old", map[string]string{"k": "v"}))
	u := gatehouse.DocumentUpdate{CollectionID: c.ID, FileID: d.FileID, Name: gatehouse.Some("b.txt"), Content: strings.NewReader("newer")}
	got := must[*gatehouse.Document](t)(s.UpdateDocument(s.ctx, u))
	if got.FileID != d.FileID || got.File.Name != "b.txt" || got.File.Size != 5 || got.File.Hash == d.File.Hash || got.Fields["k"] != "v" {
		t.Errorf("content: %+v %+v", got, got.File)
	}
	fields := gatehouse.DocumentUpdate{CollectionID: c.ID, FileID: d.FileID, Fields: gatehouse.Some(map[string]string{"k": "w"})}
	if got := must[*gatehouse.Document](t)(s.UpdateDocument(s.ctx, fields)); got.Fields["k"] != "w" || got.File.Name != "b.txt" {
		t.Errorf("fields: %+v %+v", got, got.File)
	}
	wantField(t, "name", second(s.UpdateDocument(s.ctx, gatehouse.DocumentUpdate{CollectionID: c.ID, FileID: d.FileID, Name: gatehouse.Some("a/b")})))
	want(t, gatehouse.NotFound, second(s.UpdateDocument(s.ctx, gatehouse.DocumentUpdate{CollectionID: c.ID, FileID: gatehouse.NewID(), Content: strings.NewReader("x")})))
}

func refusedUploads(t *testing.T, s *stacks) {
	c := s.collection(t, "c")
	wantField(t, "file", second(s.upload(c.ID, "a", "", nil)))
	wantField(t, "name", second(s.upload(c.ID, `a"b`, "x", nil)))
	if _, err := s.UploadDocument(s.ctx, c.ID, gatehouse.NewFile{Name: "a", Content: io.MultiReader(strings.NewReader("x"), cutOff{})}, nil); err == nil {
		t.Error("a body that was cut short was kept")
	}
	if got := must[*gatehouse.CollectionView](t)(s.GetCollection(s.ctx, none, c.ID)); got.Documents != 0 || got.Bytes != 0 {
		t.Errorf("%d documents of %d bytes are left", got.Documents, got.Bytes)
	}
}

// cutOff is the end of a body whose sender went away.
type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func libraryIsolation(t *testing.T, s *stacks) {
	c := s.collection(t, "c")
	d := s.document(t, c.ID, "a")
	team, client := s.team(t, "other")
	them := librarian(t, client)
	mine := must[*gatehouse.CollectionView](t)(them.CreateCollection(s.ctx, &gatehouse.Collection{Name: "theirs"}))
	for what, err := range map[string]error{
		"get": second(them.GetCollection(s.ctx, none, c.ID)), "update": second(them.UpdateCollection(s.ctx, gatehouse.CollectionUpdate{ID: c.ID, Name: gatehouse.Some("x")})),
		"delete": them.DeleteCollection(s.ctx, none, c.ID), "describe": second(them.DescribeCollection(s.ctx, none, c.ID)),
		"upload":  second(them.UploadDocument(s.ctx, c.ID, gatehouse.NewFile{Name: "a", Content: strings.NewReader("x")}, nil)),
		"add":     them.AddDocument(s.ctx, none, mine.ID, d.FileID, nil),
		"read":    second(them.GetDocument(s.ctx, none, c.ID, d.FileID)),
		"several": second(them.GetDocuments(s.ctx, none, c.ID, []gatehouse.ID{d.FileID})),
		"list":    third(them.ListDocuments(s.ctx, gatehouse.LibraryQuery{CollectionID: c.ID})),
		"reindex": them.ReindexDocument(s.ctx, none, c.ID, d.FileID),
		"change":  second(them.UpdateDocument(s.ctx, gatehouse.DocumentUpdate{CollectionID: c.ID, FileID: d.FileID, Name: gatehouse.Some("b")})),
		"remove":  them.RemoveDocument(s.ctx, none, c.ID, d.FileID),
		"by name": second(them.GetCollection(s.ctx, s.TeamID, c.ID)),
	} {
		if gatehouse.CodeOf(err) != gatehouse.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	foreign, absent := second(them.GetCollection(s.ctx, none, c.ID)), second(them.GetCollection(s.ctx, none, gatehouse.NewID()))
	if gatehouse.Public(foreign) != gatehouse.Public(absent) {
		t.Errorf("%v is told from %v", foreign, absent)
	}
	if all, _, err := them.ListCollections(s.ctx, gatehouse.LibraryQuery{}); err != nil || len(all) != 1 {
		t.Errorf("they see %d collections, %v", len(all), err)
	}
	if got := must[*gatehouse.CollectionView](t)(s.GetCollection(s.ctx, team, mine.ID)); got.TeamID != team {
		t.Errorf("of the organization: %+v", got.Collection)
	}
	want(t, gatehouse.NotFound, second(s.GetCollection(s.ctx, none, mine.ID)))
}

func libraryScopes(t *testing.T, s *stacks) {
	c := s.collection(t, "c")
	_, client := s.manager(t, gatehouse.NewManagementKey{TeamID: s.TeamID, Scope: gatehouse.ScopeTeam, Name: "reader", ACL: []string{
		gatehouse.ScopeFor(gatehouse.GetCollectionMetadata), gatehouse.ScopeFor(gatehouse.ListDocuments),
	}})
	reader := librarian(t, client)
	must[*gatehouse.CollectionView](t)(reader.GetCollection(s.ctx, none, c.ID))
	for op, err := range map[gatehouse.Operation]error{
		gatehouse.CreateCollection: second(reader.CreateCollection(s.ctx, &gatehouse.Collection{Name: "x"})),
		gatehouse.DeleteCollection: reader.DeleteCollection(s.ctx, none, gatehouse.NewID()),
		gatehouse.UploadDocument:   second(reader.UploadDocument(s.ctx, c.ID, gatehouse.NewFile{Name: "a", Content: strings.NewReader("x")}, nil)),
		gatehouse.ListCollections:  third(reader.ListCollections(s.ctx, gatehouse.LibraryQuery{})),
	} {
		want(t, gatehouse.PermissionDenied, err)
		if !strings.Contains(gatehouse.Public(err), string(op)) {
			t.Errorf("%v does not name %s", err, op)
		}
	}
}

func libraryAudit(t *testing.T, s *stacks) {
	c := s.collection(t, "Papers")
	d := s.document(t, c.ID, "a.txt")
	must[*gatehouse.Document](t)(s.GetDocument(s.ctx, none, c.ID, d.FileID))
	ok(t, s.RemoveDocument(s.ctx, none, c.ID, d.FileID))
	var said []string
	for _, e := range s.events(t, gatehouse.EventFilter{}, 0) {
		said = append(said, e.Description)
	}
	for _, line := range []string{
		"Collection 'Papers' was created", "File 'a.txt' was uploaded", "Document 'a.txt' was uploaded: collection 'Papers'", "GetDocumentMetadata was called for " + c.ID.String(),
		"Document 'a.txt' was removed: collection 'Papers'", "File 'a.txt' was deleted with the last collection that had it",
	} {
		if !strings.Contains(strings.Join(said, "\n"), line) {
			t.Errorf("no event says %q in\n%s", line, strings.Join(said, "\n"))
		}
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }
