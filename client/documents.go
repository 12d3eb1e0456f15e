package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"google.golang.org/protobuf/types/known/emptypb"

	"gatehouse"
	"gatehouse/gen/collections"
)

// documentPath is where a document is.
func documentPath(collection, file gatehouse.ID) string {
	return collectionPath(collection, "documents", "file_"+file.String())
}

// UploadDocument implements gatehouse.Documents. Content is sent as it is read,
// so whoever wants to see it go wraps the reader.
func (c *Client) UploadDocument(ctx context.Context, collection gatehouse.ID, f gatehouse.NewFile, fields map[string]string) (*gatehouse.Document, error) {
	if f.Life != 0 {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "a document that expires is uploaded as a file and added")
	}
	in := newForm()
	in.text("team_id", f.TeamID.String())
	in.text("name", f.Name)
	if len(fields) > 0 {
		text, err := json.Marshal(fields)
		if err != nil {
			return nil, err
		}
		in.text("fields", string(text))
	}
	in.content("data", f.Name, f.ContentType, f.Content)
	d, err := documentOf(exchange[collections.DocumentMetadata](ctx, c, request{method: http.MethodPost, path: collectionPath(collection, "documents"), form: in}))
	return within(f.TeamID, collection, d, err)
}

// AddDocument implements gatehouse.Documents.
func (c *Client) AddDocument(ctx context.Context, team, collection, file gatehouse.ID, fields map[string]string) error {
	_, err := call[emptypb.Empty](ctx, c, request{method: http.MethodPost, path: documentPath(collection, file), snake: true,
		body: &collections.AddDocumentToCollectionRequest{TeamId: some(team.String()), Fields: fields}})
	return err
}

// GetDocument implements gatehouse.Documents.
func (c *Client) GetDocument(ctx context.Context, team, collection, file gatehouse.ID) (*gatehouse.Document, error) {
	d, err := documentOf(exchange[collections.DocumentMetadata](ctx, c, request{method: http.MethodGet, path: documentPath(collection, file), team: team}))
	return within(team, collection, d, err)
}

// within says which team and collection a document is in, which no answer does.
func within(team, collection gatehouse.ID, d *gatehouse.Document, err error) (*gatehouse.Document, error) {
	if d != nil {
		d.TeamID, d.CollectionID = team, collection
	}
	return d, err
}

// GetDocuments implements gatehouse.Documents.
func (c *Client) GetDocuments(ctx context.Context, team, collection gatehouse.ID, files []gatehouse.ID) ([]*gatehouse.Document, error) {
	out, err := call[collections.BatchGetDocumentsResponse](ctx, c, request{method: http.MethodGet, path: collectionPath(collection, "documents:batchGet"), snake: true,
		query: &collections.BatchGetDocumentsRequest{TeamId: some(team.String()), FileIds: each(files, func(f gatehouse.ID) string { return "file_" + f.String() })}})
	return each(out.GetDocuments(), documentIn(team, collection)), err
}

// documentSorts are the wire's names for orders; by name is its default.
var documentSorts = map[gatehouse.LibrarySort]*collections.DocumentsSortBy{
	gatehouse.SortByAge:  collections.DocumentsSortBy_DOCUMENTS_SORT_BY_AGE.Enum(),
	gatehouse.SortBySize: collections.DocumentsSortBy_DOCUMENTS_SORT_BY_SIZE.Enum(),
}

// ListDocuments implements gatehouse.Documents.
func (c *Client) ListDocuments(ctx context.Context, q gatehouse.LibraryQuery) ([]*gatehouse.Document, string, error) {
	size, after := page(q.Page)
	out, err := call[collections.ListDocumentsResponse](ctx, c, request{method: http.MethodGet, path: collectionPath(q.CollectionID, "documents"), snake: true,
		query: &collections.ListDocumentsRequest{
			TeamId: some(q.TeamID.String()), Limit: some(size), Order: ordering(q), SortBy: documentSorts[q.Sort],
			PaginationToken: some(after), Name: some(q.Name), Filter: some(q.Filter),
		}})
	return each(out.GetDocuments(), documentIn(q.TeamID, q.CollectionID)), out.GetPaginationToken(), err
}

// ReindexDocument implements gatehouse.Documents.
func (c *Client) ReindexDocument(ctx context.Context, team, collection, file gatehouse.ID) error {
	_, err := call[emptypb.Empty](ctx, c, request{method: http.MethodPatch, path: documentPath(collection, file), team: team})
	return err
}

// UpdateDocument implements gatehouse.Documents. On the wire content is part of
// a JSON body, whose size the server bounds; what is larger is uploaded anew.
func (c *Client) UpdateDocument(ctx context.Context, u gatehouse.DocumentUpdate) (*gatehouse.Document, error) {
	if u.Fields.Set && len(u.Fields.Value) == 0 {
		return nil, gatehouse.Errorf(gatehouse.Unimplemented, "the wire has no words for taking all fields of a document away: no fields are those that it has")
	}
	in := &collections.UpdateDocumentRequest{
		TeamId: some(u.TeamID.String()), Name: given(u.Name), ContentType: given(u.ContentType), Fields: u.Fields.Value,
	}
	if u.Content != nil {
		content, err := io.ReadAll(io.LimitReader(u.Content, gatehouse.MaxFileSize+1))
		if err != nil {
			return nil, err
		}
		in.Data = append([]byte{}, content...) // not nil: no bytes are a content too
	}
	d, err := documentOf(exchange[collections.DocumentMetadata](ctx, c, request{method: http.MethodPut, path: documentPath(u.CollectionID, u.FileID), snake: true, body: in}))
	return within(u.TeamID, u.CollectionID, d, err)
}

// RemoveDocument implements gatehouse.Documents.
func (c *Client) RemoveDocument(ctx context.Context, team, collection, file gatehouse.ID) error {
	_, err := call[emptypb.Empty](ctx, c, request{method: http.MethodDelete, path: documentPath(collection, file), team: team})
	return err
}

func documentOf(out *collections.DocumentMetadata, h http.Header, err error) (*gatehouse.Document, error) {
	if err != nil {
		return nil, err
	}
	d := documentFrom(out)
	d.Revision = tagged(h)
	return d, nil
}

func documentIn(team, collection gatehouse.ID) func(*collections.DocumentMetadata) *gatehouse.Document {
	return func(in *collections.DocumentMetadata) *gatehouse.Document {
		d := documentFrom(in)
		d.TeamID, d.CollectionID = team, collection
		return d
	}
}

func documentFrom(in *collections.DocumentMetadata) *gatehouse.Document {
	f := in.GetFileMetadata()
	return &gatehouse.Document{
		FileID: id(f.GetFileId()), Fields: in.Fields, CreateTime: moment(in.CreatedAt),
		File: &gatehouse.File{
			ID: id(f.GetFileId()), Name: f.GetName(), Size: f.GetSizeBytes(), ContentType: f.GetContentType(), Hash: f.GetHash(),
			CreateTime: moment(f.GetCreatedAt()), ExpireTime: moment(f.GetExpiresAt()),
		},
		State: gatehouse.DocumentState{
			Status:  gatehouse.DocumentStatus(strings.TrimPrefix(in.Status.String(), "DOCUMENT_STATUS_")),
			Problem: in.GetErrorMessage(), IndexTime: moment(in.LastIndexedAt), Chunks: int(in.GetChunkCount()), ChunksDone: in.GetChunksProcessedCount(),
		},
	}
}
