package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"gatehouse"
)

// The collection, the document in it, and the one that could not be indexed.
var (
	Collection = id("44444444-4444-4444-8444-444444444444")
	Document   = id("55555555-5555-4555-8555-555555555555")
	Failed     = id("66666666-6666-4666-8666-666666666666")
)

// cut is the default of chunk configurations.
const cut = `{"tokens_configuration":{"max_chunk_size_tokens":1024,"chunk_overlap_tokens":200,"encoding_name":"o200k_base"},` +
	`"strip_whitespace":true,"inject_name_into_chunks":false}`

func (f *Fake) collection(team, c gatehouse.ID) (*gatehouse.CollectionView, error) {
	if team != Team && !team.IsZero() || c != Collection {
		return nil, missing("collection")
	}
	return &gatehouse.CollectionView{Documents: 2, Bytes: 9_000_000_000, Collection: &gatehouse.Collection{
		ID: Collection, TeamID: Team, Name: "SEC filings", Description: "Annual reports", Model: "grok-embedding-small",
		Chunks: json.RawMessage(cut), Metric: "cosine", CreateTime: Now, Revision: rev,
		Fields: []gatehouse.FieldDefinition{{Key: "isbn", Required: true, Unique: true, Description: "ISBN-13"}, {Key: "author", Inject: true}},
	}}, nil
}

// CreateCollection implements gatehouse.Collections. It echoes.
func (f *Fake) CreateCollection(_ context.Context, c *gatehouse.Collection) (*gatehouse.CollectionView, error) {
	if c.TeamID != Team && !c.TeamID.IsZero() {
		return nil, missing("team")
	}
	c.ID, c.CreateTime, c.Revision = Collection, Now, rev
	if c.Chunks == nil {
		c.Chunks = json.RawMessage(cut)
	}
	if c.Metric == "" {
		c.Metric = "cosine"
	}
	f.commit()
	return &gatehouse.CollectionView{Collection: c}, nil
}

// GetCollection implements gatehouse.Collections.
func (f *Fake) GetCollection(_ context.Context, team, c gatehouse.ID) (*gatehouse.CollectionView, error) {
	return f.collection(team, c)
}

// ListCollections implements gatehouse.Collections. The name echoes the query.
func (f *Fake) ListCollections(_ context.Context, q gatehouse.LibraryQuery) ([]*gatehouse.CollectionView, string, error) {
	if q.TeamID != Team && !q.TeamID.IsZero() {
		return nil, "", missing("team")
	}
	c, _ := f.collection(Team, Collection)
	c.Name = asked(q)
	return []*gatehouse.CollectionView{c}, next(q), nil
}

func asked(q gatehouse.LibraryQuery) string {
	return fmt.Sprintf("size %d, by %s, ascending %t, filter %q, name %q", q.Page.Size, q.Sort, q.Ascending, q.Filter, q.Name)
}

// next is the token behind a first page of one.
func next(q gatehouse.LibraryQuery) string {
	if q.Page.Size == 1 && q.Page.Token == "" {
		return "NEXT"
	}
	return ""
}

// UpdateCollection implements gatehouse.Collections.
func (f *Fake) UpdateCollection(_ context.Context, up gatehouse.CollectionUpdate) (*gatehouse.CollectionView, error) {
	c, err := f.collection(up.TeamID, up.ID)
	if err == nil {
		err = f.match()
	}
	if err != nil {
		return nil, err
	}
	take(&c.Name, up.Name)
	take(&c.Description, up.Description)
	take(&c.Chunks, up.Chunks)
	for _, key := range up.RemoveFields {
		c.Description += " without " + key
	}
	c.Fields = append(c.Fields, up.AddFields...)
	f.commit()
	return c, nil
}

// DeleteCollection implements gatehouse.Collections.
func (f *Fake) DeleteCollection(_ context.Context, team, c gatehouse.ID) error {
	_, err := f.collection(team, c)
	if err == nil {
		f.commit()
	}
	return err
}

// DescribeCollection implements gatehouse.Collections.
func (f *Fake) DescribeCollection(_ context.Context, team, c gatehouse.ID) (string, error) {
	_, err := f.collection(team, c)
	return "Annual reports of public companies.", err
}

func (f *Fake) document(team, c, file gatehouse.ID) (*gatehouse.Document, error) {
	if _, err := f.collection(team, c); err != nil {
		return nil, err
	}
	d := &gatehouse.Document{
		CollectionID: c, FileID: file, TeamID: Team, Fields: map[string]string{"isbn": "978-3"}, CreateTime: Now.Add(time.Hour), Revision: rev,
		File: &gatehouse.File{
			ID: file, TeamID: Team, Name: "report.pdf", ContentType: "application/pdf", Size: 52_000, CreateTime: Now, Revision: rev,
			Hash: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		},
		State: gatehouse.DocumentState{Status: gatehouse.DocumentProcessed, IndexTime: Now.Add(2 * time.Hour), Chunks: 12, ChunksDone: 12},
	}
	switch file {
	case Document:
	case Failed:
		d.State = gatehouse.DocumentState{Status: gatehouse.DocumentFailed, Problem: "the document is encrypted"}
	default:
		return nil, missing("document")
	}
	return d, nil
}

// UploadDocument implements gatehouse.Documents. It echoes, with the content's
// length as the size and its beginning as the hash.
func (f *Fake) UploadDocument(_ context.Context, c gatehouse.ID, n gatehouse.NewFile, fields map[string]string) (*gatehouse.Document, error) {
	d, err := f.document(n.TeamID, c, Document)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 16)
	began, _ := io.ReadFull(n.Content, head)
	rest, err := io.Copy(io.Discard, n.Content)
	if err != nil {
		return nil, err
	}
	d.File.Name, d.File.ContentType, d.File.Size, d.Fields = n.Name, n.ContentType, int64(began)+rest, fields
	d.File.Hash = fmt.Sprintf("%q", head[:began])
	d.State = gatehouse.DocumentState{Status: gatehouse.DocumentProcessing}
	f.commit()
	return d, nil
}

// AddDocument implements gatehouse.Documents.
func (f *Fake) AddDocument(_ context.Context, team, c, file gatehouse.ID, fields map[string]string) error {
	_, err := f.document(team, c, file)
	switch {
	case err != nil:
	case fields["isbn"] == "":
		err = gatehouse.Violations{{Field: "fields.isbn", Problem: "is required"}}.Err()
	default:
		f.commit()
	}
	return err
}

// GetDocument implements gatehouse.Documents.
func (f *Fake) GetDocument(_ context.Context, team, c, file gatehouse.ID) (*gatehouse.Document, error) {
	return f.document(team, c, file)
}

// GetDocuments implements gatehouse.Documents.
func (f *Fake) GetDocuments(_ context.Context, team, c gatehouse.ID, files []gatehouse.ID) (out []*gatehouse.Document, err error) {
	for _, file := range files {
		d, err := f.document(team, c, file)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// ListDocuments implements gatehouse.Documents. The first name echoes the query.
func (f *Fake) ListDocuments(_ context.Context, q gatehouse.LibraryQuery) ([]*gatehouse.Document, string, error) {
	first, err := f.document(q.TeamID, q.CollectionID, Document)
	if err != nil {
		return nil, "", err
	}
	if strings.Contains(q.Filter, "isbn") {
		return nil, "", nil
	}
	first.File.Name = asked(q)
	if q.Page.Size == 1 {
		return []*gatehouse.Document{first}, next(q), nil
	}
	second, _ := f.document(q.TeamID, q.CollectionID, Failed)
	return []*gatehouse.Document{first, second}, "", nil
}

// ReindexDocument implements gatehouse.Documents.
func (f *Fake) ReindexDocument(ctx context.Context, team, c, file gatehouse.ID) error {
	return f.RemoveDocument(ctx, team, c, file)
}

// UpdateDocument implements gatehouse.Documents. New content is told by its
// length.
func (f *Fake) UpdateDocument(_ context.Context, up gatehouse.DocumentUpdate) (*gatehouse.Document, error) {
	d, err := f.document(up.TeamID, up.CollectionID, up.FileID)
	if err != nil {
		return nil, err
	}
	take(&d.File.Name, up.Name)
	take(&d.File.ContentType, up.ContentType)
	take(&d.Fields, up.Fields)
	if up.Content != nil {
		var content bytes.Buffer
		d.File.Size, _ = content.ReadFrom(up.Content)
	}
	d.State = gatehouse.DocumentState{Status: gatehouse.DocumentProcessing}
	f.commit()
	return d, nil
}

// RemoveDocument implements gatehouse.Documents.
func (f *Fake) RemoveDocument(_ context.Context, team, c, file gatehouse.ID) error {
	_, err := f.document(team, c, file)
	if err == nil {
		f.commit()
	}
	return err
}
