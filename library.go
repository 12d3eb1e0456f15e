package gatehouse

import (
	"context"
	"encoding/json"
	"io"
	"time"
)

// File is what a team uploaded. Its bytes are a blob of the library, addressed
// by Hash; the record says whose they are, and is gone before they are.
type File struct {
	ID          ID     `json:"id"` // on the wire file_UUID
	TeamID      ID     `json:"team"`
	KeyID       ID     `json:"key,omitzero"` // the API key that uploaded it; zero: the management plane
	Name        string `json:"name"`
	ContentType string `json:"contentType"`
	Size        int64  `json:"size"` // bytes
	Hash        string `json:"hash"` // SHA-256, hex
	// Owned says that it was uploaded through a collection: it dies with the last
	// one that holds it. One uploaded as a file stays.
	Owned        bool      `json:"owned,omitempty"`
	CreateTime   time.Time `json:"createTime"`
	ExpireTime   time.Time `json:"expireTime,omitzero"`
	PublicDigest Digest    `json:"publicDigest,omitzero"` // of the secret in its public URL; zero: it has none
	PublicExpire time.Time `json:"publicExpire,omitzero"`
	DeleteTime   time.Time `json:"deleteTime,omitzero"`
	Revision     Revision  `json:"revision"`
}

// The bounds of files (wire.md §5, Limits); a team's are configurable.
const (
	MaxFileSize      = 100 << 20
	MaxTeamFiles     = 100_000
	MaxTeamFileBytes = 100 << 30
)

// FieldDefinition is a field that documents of a collection carry.
type FieldDefinition struct {
	Key         string `json:"key"`
	Required    bool   `json:"required,omitempty"` // documents without it are refused
	Inject      bool   `json:"inject,omitempty"`   // its value begins every chunk
	Unique      bool   `json:"unique,omitempty"`   // no two documents of the collection share a value
	Description string `json:"description,omitempty"`
}

// Collection is documents that are searched together.
type Collection struct {
	ID          ID                `json:"id"` // on the wire collection_UUID
	TeamID      ID                `json:"team"`
	Name        string            `json:"name"`
	Description string            `json:"description,omitempty"`
	Model       string            `json:"model,omitempty"` // that embeds; empty: found by words alone
	Chunks      json.RawMessage   `json:"chunks"`          // the wire's chunk_configuration, as judged
	Metric      string            `json:"metric"`          // cosine, euclidean or inner_product
	Fields      []FieldDefinition `json:"fields,omitempty"`
	CreateTime  time.Time         `json:"createTime"`
	DeleteTime  time.Time         `json:"deleteTime,omitzero"`
	Revision    Revision          `json:"revision"`
}

// DocumentStatus is how far a document has come.
type DocumentStatus string

// The statuses, in their order.
const (
	DocumentProcessing DocumentStatus = "PROCESSING"
	DocumentChunked    DocumentStatus = "CHUNKED"
	DocumentEmbedding  DocumentStatus = "EMBEDDING"
	DocumentWriting    DocumentStatus = "WRITING"
	DocumentProcessed  DocumentStatus = "PROCESSED"
	DocumentFailed     DocumentStatus = "FAILED"
)

// Document is a file in a collection. Its id is the file's.
type Document struct {
	CollectionID ID                `json:"collection"`
	File         *File             `json:"file"`
	Fields       map[string]string `json:"fields,omitempty"`
	Status       DocumentStatus    `json:"status"`
	Problem      string            `json:"problem,omitempty"` // why it failed
	IndexTime    time.Time         `json:"indexTime,omitzero"`
	Chunks       int               `json:"chunks"` // in all, once it is cut
	ChunksDone   int64             `json:"chunksDone"`
	CreateTime   time.Time         `json:"createTime"`
}

// NewFile is an upload. Content is read once, to its end, and at most
// MaxFileSize of it.
type NewFile struct {
	TeamID      ID
	Name        string
	ContentType string // what the client says; what it is is looked at
	ExpireTime  time.Time
	Content     io.Reader
}

// ListQuery selects a page of files, collections or documents. Filter is the
// grammar of wire.md §5; SortBy is name, age or size.
type ListQuery struct {
	TeamID       ID
	CollectionID ID // of documents
	Filter       string
	SortBy       string
	Ascending    bool
	Page         Page
}

// Files manages what a team uploaded.
type Files interface {
	// UploadFile keeps a file whole or not at all.
	UploadFile(context.Context, NewFile) (*File, error)
	GetFile(ctx context.Context, team, id ID) (*File, error)
	ListFiles(context.Context, ListQuery) ([]*File, string, error)
	// DeleteFile takes it out of every collection too.
	DeleteFile(ctx context.Context, team, id ID) error
	// ReadFile writes a file's bytes, or with text its extracted text.
	ReadFile(ctx context.Context, team, id ID, text bool, w io.Writer) error
	// PublishFile makes a URL secret that opens the file until expire; RevokeURL
	// ends it.
	PublishFile(ctx context.Context, team, id ID, expire time.Time) (*File, Token, error)
	RevokeURL(ctx context.Context, team, id ID) (*File, error)
}

// CollectionUpdate changes the fields that are set.
type CollectionUpdate struct {
	TeamID, ID   ID
	Name         Opt[string]
	Description  Opt[string]
	Chunks       Opt[json.RawMessage]
	AddFields    []FieldDefinition // replaces one of the same key
	RemoveFields []string          // their values go from all documents
}

// CollectionView is a collection with what it holds.
type CollectionView struct {
	*Collection
	Documents int
	Bytes     int64
}

// Collections manages collections.
type Collections interface {
	CreateCollection(context.Context, *Collection) (*CollectionView, error)
	GetCollection(ctx context.Context, team, id ID) (*CollectionView, error)
	ListCollections(context.Context, ListQuery) ([]*CollectionView, string, error)
	UpdateCollection(context.Context, CollectionUpdate) (*CollectionView, error)
	// DeleteCollection removes it, its documents, and files that it owned alone.
	DeleteCollection(ctx context.Context, team, id ID) error
}

// Documents manages files in collections.
type Documents interface {
	// UploadDocument is UploadFile and AddDocument in one, under one decision.
	UploadDocument(ctx context.Context, collection ID, f NewFile, fields map[string]string) (*Document, error)
	// AddDocument puts a file of the team into a collection; it is indexed behind
	// the answer.
	AddDocument(ctx context.Context, team, collection, file ID, fields map[string]string) (*Document, error)
	GetDocument(ctx context.Context, team, collection, file ID) (*Document, error)
	GetDocuments(ctx context.Context, team, collection ID, files []ID) ([]*Document, error)
	ListDocuments(context.Context, ListQuery) ([]*Document, string, error)
	// ReindexDocument extracts, cuts and indexes it again.
	ReindexDocument(ctx context.Context, team, collection, file ID) error
	// UpdateDocument replaces name, content or fields, each where given.
	UpdateDocument(ctx context.Context, team, collection, file ID, f *NewFile, fields map[string]string) (*Document, error)
	RemoveDocument(ctx context.Context, team, collection, file ID) error
}
