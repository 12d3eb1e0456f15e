package xai

import (
	"bytes"
	"context"
	"strings"

	"google.golang.org/protobuf/types/known/emptypb"

	"gatehouse"
	"gatehouse/gen/collections"
	"gatehouse/internal/api"
)

// location is where a document is, as every request about one says it.
type location struct{ team, collection, file gatehouse.ID }

func locate(team, collection, file string) (location, error) {
	id, err := teamOf(team)
	return location{id, api.PathID(collection), api.PathID(file)}, err
}

// ListDocuments implements collections.CollectionsServer.
func (l library) ListDocuments(ctx context.Context, in *collections.ListDocumentsRequest) (*collections.ListDocumentsResponse, error) {
	var bad gatehouse.Violations
	q := gatehouse.LibraryQuery{
		TeamID: api.ID("team_id", in.GetTeamId(), &bad), CollectionID: api.PathID(in.CollectionId), Name: in.GetName(),
		Filter: withStatus(in.GetFilter(), in.GetStatus(), &bad), Sort: documentSorts[in.GetSortBy()],
		Ascending: in.GetOrder() == collections.Ordering_ORDERING_ASCENDING,
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	var err error
	if q.Page, err = page(in.Limit, in.GetPaginationToken()); err != nil {
		return nil, err
	}
	all, next, err := api.From(ctx).ListDocuments(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &collections.ListDocumentsResponse{PaginationToken: api.Next(next), Documents: l.documents(all)}
	if l.aliases {
		out.Data, out.HasMore = out.Documents, new(next != "")
	}
	return out, nil
}

var documentSorts = map[collections.DocumentsSortBy]gatehouse.LibrarySort{
	collections.DocumentsSortBy_DOCUMENTS_SORT_BY_NAME: gatehouse.SortByName,
	collections.DocumentsSortBy_DOCUMENTS_SORT_BY_SIZE: gatehouse.SortBySize,
	collections.DocumentsSortBy_DOCUMENTS_SORT_BY_AGE:  gatehouse.SortByAge,
}

const statusPrefix = "DOCUMENT_STATUS_"

// The three words of the older dialect for how far a document has come. All
// that is neither ready nor failed is processing.
const (
	stateProcessing = "processing"
	stateReady      = "ready"
	stateFailed     = "failed"
)

// statusFilters are what ?status= means, in the grammar of filters.
var statusFilters = map[string]string{
	stateProcessing: "status:!" + statusPrefix + "PROCESSED AND status:!" + statusPrefix + "FAILED",
	stateReady:      "status:" + statusPrefix + "PROCESSED",
	stateFailed:     "status:" + statusPrefix + "FAILED",
}

// withStatus narrows a filter to a status, in either spelling.
func withStatus(filter, status string, bad *gatehouse.Violations) string {
	narrow := statusFilters[status]
	if collections.DocumentStatus_value[status] != 0 {
		narrow = "status:" + status
	}
	switch {
	case status == "":
		return filter
	case narrow == "":
		bad.Addf("status", "must be processing, ready, failed, or a status such as DOCUMENT_STATUS_PROCESSED")
		return filter
	case strings.TrimSpace(filter) == "":
		return narrow
	}
	return "(" + filter + ") AND " + narrow
}

// GetDocumentMetadata implements collections.CollectionsServer.
func (l library) GetDocumentMetadata(ctx context.Context, in *collections.GetDocumentMetadataRequest) (*collections.DocumentMetadata, error) {
	at, err := locate(in.GetTeamId(), in.CollectionId, in.FileId)
	if err != nil {
		return nil, err
	}
	return l.told(ctx)(api.From(ctx).GetDocument(ctx, at.team, at.collection, at.file))
}

// BatchGetDocuments implements collections.CollectionsServer.
func (l library) BatchGetDocuments(ctx context.Context, in *collections.BatchGetDocumentsRequest) (*collections.BatchGetDocumentsResponse, error) {
	at, err := locate(in.GetTeamId(), in.CollectionId, "")
	if err != nil {
		return nil, err
	}
	var bad gatehouse.Violations
	if n := len(in.FileIds); n == 0 || n > gatehouse.MaxDocumentsAtOnce {
		bad.Addf("file_ids", "needs 1 to %d ids", gatehouse.MaxDocumentsAtOnce)
		return nil, bad.Err()
	}
	files := make([]gatehouse.ID, len(in.FileIds))
	for i, id := range in.FileIds {
		files[i] = api.PathID(id)
	}
	all, err := api.From(ctx).GetDocuments(ctx, at.team, at.collection, files)
	return &collections.BatchGetDocumentsResponse{Documents: l.documents(all)}, err
}

// AddDocumentToCollection implements collections.CollectionsServer.
func (library) AddDocumentToCollection(ctx context.Context, in *collections.AddDocumentToCollectionRequest) (*emptypb.Empty, error) {
	at, err := locate(in.GetTeamId(), in.CollectionId, in.FileId)
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, api.From(ctx).AddDocument(ctx, at.team, at.collection, at.file, in.Fields)
}

// ReIndexDocument implements collections.CollectionsServer.
func (library) ReIndexDocument(ctx context.Context, in *collections.ReIndexDocumentRequest) (*emptypb.Empty, error) {
	at, err := locate(in.GetTeamId(), in.CollectionId, in.FileId)
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, api.From(ctx).ReindexDocument(ctx, at.team, at.collection, at.file)
}

// RemoveDocumentFromCollection implements collections.CollectionsServer.
func (library) RemoveDocumentFromCollection(ctx context.Context, in *collections.RemoveDocumentFromCollectionRequest) (*emptypb.Empty, error) {
	at, err := locate(in.GetTeamId(), in.CollectionId, in.FileId)
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, api.From(ctx).RemoveDocument(ctx, at.team, at.collection, at.file)
}

// UpdateDocument implements collections.CollectionsServer.
func (l library) UpdateDocument(ctx context.Context, in *collections.UpdateDocumentRequest) (*collections.DocumentMetadata, error) {
	at, err := locate(in.GetTeamId(), in.CollectionId, in.FileId)
	if err != nil {
		return nil, err
	}
	var bad gatehouse.Violations
	if in.Name == nil && in.ContentType == nil && in.Data == nil && len(in.Fields) == 0 {
		nothing(&bad)
		return nil, bad.Err()
	}
	up := gatehouse.DocumentUpdate{TeamID: at.team, CollectionID: at.collection, FileID: at.file}
	if in.Name != nil {
		up.Name = gatehouse.Some(*in.Name)
	}
	if in.ContentType != nil {
		up.ContentType = gatehouse.Some(*in.ContentType)
	}
	if len(in.Fields) > 0 {
		up.Fields = gatehouse.Some(in.Fields)
	}
	if in.Data != nil {
		up.Content = bytes.NewReader(in.Data)
	}
	return l.told(ctx)(api.From(ctx).UpdateDocument(ctx, up))
}

// UploadDocument implements collections.CollectionsServer, for gRPC.
func (l library) UploadDocument(ctx context.Context, in *collections.UploadDocumentRequest) (*collections.DocumentMetadata, error) {
	at, err := locate(in.GetTeamId(), in.CollectionId, "")
	if err != nil {
		return nil, err
	}
	return l.told(ctx)(api.From(ctx).UploadDocument(ctx, at.collection, gatehouse.NewFile{
		TeamID: at.team, Name: in.Name, ContentType: in.ContentType, Content: bytes.NewReader(in.Data),
	}, in.Fields))
}

// told encodes one document.
func (l library) told(ctx context.Context) func(*gatehouse.Document, error) (*collections.DocumentMetadata, error) {
	return func(d *gatehouse.Document, err error) (*collections.DocumentMetadata, error) {
		if err != nil {
			return nil, err
		}
		api.From(ctx).ETag(d.Revision)
		return l.document(d), nil
	}
}

func (l library) documents(all []*gatehouse.Document) (out []*collections.DocumentMetadata) {
	for _, d := range all {
		out = append(out, l.document(d))
	}
	return out
}

// document is a document on the wire.
func (l library) document(d *gatehouse.Document) *collections.DocumentMetadata {
	state, processing := stateOf(d.State.Status)
	f := d.File
	out := &collections.DocumentMetadata{
		FileMetadata: &collections.FileMetadata{
			FileId: fileID(d.FileID), Name: f.Name, SizeBytes: f.Size, ContentType: f.ContentType, CreatedAt: api.Stamp(f.CreateTime),
			ExpiresAt: api.Stamp(f.ExpireTime), Hash: f.Hash, ProcessingStatus: &processing,
		},
		Fields: d.Fields, Status: collections.DocumentStatus(collections.DocumentStatus_value[statusPrefix+string(d.State.Status)]),
		ErrorMessage: some(d.State.Problem), LastIndexedAt: api.Stamp(d.State.IndexTime),
	}
	if d.State.Chunks > 0 {
		out.ChunkCount, out.ChunksProcessedCount = new(int32(d.State.Chunks)), &d.State.ChunksDone
	}
	if l.aliases {
		out.Id, out.Filename, out.SizeBytes = &out.FileMetadata.FileId, &f.Name, new(uint32(f.Size))
		out.CreatedAt, out.State = api.Stamp(d.CreateTime), &state
	}
	return out
}

// stateOf is a status in the words of the older dialect, and in those that
// xAI's file metadata has for the same.
func stateOf(s gatehouse.DocumentStatus) (state, processing string) {
	switch s {
	case gatehouse.DocumentProcessed:
		return stateReady, "complete"
	case gatehouse.DocumentFailed:
		return stateFailed, "failed"
	}
	return stateProcessing, "processing"
}
