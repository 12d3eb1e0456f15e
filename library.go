package gatehouse

import (
	"context"
	"encoding/json"
	"io"
	"time"
)

// File is what a team uploaded. Its bytes are a blob of the library; the record
// says whose they are, and is gone before they are.
type File struct {
	ID          ID     `json:"id"` // on the wire file_UUID
	TeamID      ID     `json:"team"`
	KeyID       ID     `json:"key,omitzero"`  // the API key that uploaded it; zero: the management plane
	UserID      ID     `json:"user,omitzero"` // the person behind the management key that did
	Name        string `json:"name"`
	ContentType string `json:"contentType"`
	Size        int64  `json:"size"` // bytes
	Hash        string `json:"hash"` // SHA-256, hex
	Blob        string `json:"blob"` // where its bytes are; several files of a team may share one
	// Owned says that it was uploaded through a collection: it dies with the last
	// one that holds it. One uploaded as a file stays.
	Owned      bool      `json:"owned,omitempty"`
	CreateTime time.Time `json:"createTime"`
	ExpireTime time.Time `json:"expireTime,omitzero"`
	// Link is the digest of the token in its public URL; zero: it has none.
	Link       Digest    `json:"link,omitzero"`
	LinkURL    string    `json:"-"` // the URL itself, sealed in the store: an answer about the file shows it
	LinkExpire time.Time `json:"linkExpire,omitzero"`
	Revision   Revision  `json:"revision"`
}

// The bounds of files (wire.md §5, Limits); those of a team are configurable.
const (
	MaxFileSize      = 100 << 20
	MaxTeamFiles     = 100_000
	MaxTeamFileBytes = 100 << 30
	MaxFileName      = 255 // bytes
	// MinFileLife and MaxFileLife bound expires_after (wire.md §6.9).
	MinFileLife = time.Hour
	MaxFileLife = 30 * 24 * time.Hour
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
	Revision    Revision          `json:"revision"`
}

// The bounds of collections.
const (
	MaxCollections     = 10_000 // of a team
	MaxFields          = 64     // of a collection
	MaxFieldKey        = 64     // bytes
	MaxFieldValue      = 4096   // bytes
	MaxDescription     = 4096   // bytes
	MaxSearchTerms     = 4096   // bytes of a query
	MaxDocumentsAtOnce = 1000   // of BatchGetDocuments
)

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
	FileID       ID                `json:"fileId"`
	TeamID       ID                `json:"team"`
	Fields       map[string]string `json:"fields,omitempty"`
	CreateTime   time.Time         `json:"createTime"`
	// Generation grows with whatever has to be indexed anew.
	Generation int64         `json:"generation"`
	Revision   Revision      `json:"revision"`
	File       *File         `json:"-"` // as read with it
	State      DocumentState `json:"-"` // how far indexing it has come
}

// DocumentState is where a document stands in the index. It is bookkeeping: no
// act of anybody, and not in the audit log.
type DocumentState struct {
	Status     DocumentStatus
	Problem    string    // why it failed, or why it is tried again
	IndexTime  time.Time // when it was last complete
	Chunks     int       // in all, once it is cut
	ChunksDone int64
}

// NewFile is an upload. Content is read once, to its end, and at most
// MaxFileSize of it.
type NewFile struct {
	TeamID      ID // zero: the caller's
	Name        string
	ContentType string        // what the client says; what it is, is looked at
	Life        time.Duration // from when it is made, not from when its upload began; zero: for ever
	Content     io.Reader
}

// LibrarySort is what a list of the library is ordered by.
type LibrarySort string

// The orders.
const (
	SortByName LibrarySort = "name"
	SortByAge  LibrarySort = "age"
	SortBySize LibrarySort = "size" // of files and documents
)

// LibraryQuery selects a page of files, collections or documents. Filter is the
// grammar of wire.md §5 and §6.9.
type LibraryQuery struct {
	TeamID       ID // zero: the caller's
	CollectionID ID // of documents
	Filter       string
	Name         string // of documents: a part of the name (deprecated on the wire); empty: any
	Sort         LibrarySort
	Ascending    bool
	After        ID // of files: the last of the page before, instead of a page token
	Page         Page
}

// CollectionUpdate changes the fields that are set.
type CollectionUpdate struct {
	TeamID, ID   ID
	Name         Opt[string]
	Description  Opt[string]
	Chunks       Opt[json.RawMessage] // documents that are there stay as they were cut
	AddFields    []FieldDefinition    // replaces one of the same key; a new one cannot be required
	RemoveFields []string             // their values go from all documents
}

// CollectionView is a collection with what it holds.
type CollectionView struct {
	*Collection
	Documents int
	Bytes     int64 // of its files
}

// Collections manages collections. A zero team is the caller's.
type Collections interface {
	CreateCollection(context.Context, *Collection) (*CollectionView, error)
	GetCollection(ctx context.Context, team, id ID) (*CollectionView, error)
	ListCollections(context.Context, LibraryQuery) ([]*CollectionView, string, error)
	UpdateCollection(context.Context, CollectionUpdate) (*CollectionView, error)
	// DeleteCollection removes it, its documents, and files that it owned alone.
	// They are gone at once for whoever asks; what is left of them is swept behind
	// the answer.
	DeleteCollection(ctx context.Context, team, id ID) error
	// DescribeCollection words a description from what the documents say, by the
	// configured model, through the gateway. It changes nothing.
	DescribeCollection(ctx context.Context, team, id ID) (string, error)
}

// DocumentUpdate replaces what is set. Content, a name or fields that are set
// have the document indexed anew.
type DocumentUpdate struct {
	TeamID, CollectionID, FileID ID
	Name                         Opt[string]
	ContentType                  Opt[string]
	Fields                       Opt[map[string]string] // all of them
	Content                      io.Reader              // nil: stays
}

// Documents manages files in collections. A zero team is the caller's.
type Documents interface {
	// UploadDocument uploads a file that the collection owns, and adds it, in one
	// act: a refusal leaves neither.
	UploadDocument(ctx context.Context, collection ID, f NewFile, fields map[string]string) (*Document, error)
	// AddDocument puts a file of the team into a collection; it is indexed behind
	// the answer.
	AddDocument(ctx context.Context, team, collection, file ID, fields map[string]string) error
	GetDocument(ctx context.Context, team, collection, file ID) (*Document, error)
	// GetDocuments finds several at once, in the order asked; NotFound names the
	// first that is not there.
	GetDocuments(ctx context.Context, team, collection ID, files []ID) ([]*Document, error)
	ListDocuments(context.Context, LibraryQuery) ([]*Document, string, error)
	// ReindexDocument extracts, cuts and indexes it again.
	ReindexDocument(ctx context.Context, team, collection, file ID) error
	UpdateDocument(context.Context, DocumentUpdate) (*Document, error)
	// RemoveDocument takes it out; the file stays, unless collections own it and
	// this was the last.
	RemoveDocument(ctx context.Context, team, collection, file ID) error
}

// Search asks collections of a team for chunks.
type Search struct {
	Query        string
	Collections  []ID
	Limit        int // 0: 10
	Filter       string
	Mode         string // hybrid, semantic or keyword; empty: hybrid
	Multiplier   int    // of candidates, 1 to 100; 0: the default
	FusionK      float64
	Weights      [2]float64 // embedding, text; both 0: alike
	Instructions string     // put before the query where it is embedded
	Group        *SearchGroup
}

// SearchGroup says that matches are grouped: the best of each group remain, at
// most Most of them.
type SearchGroup struct {
	Keys []string // file_id, or fields of documents
	Most int      // 0: 1
	Min  bool     // the lowest scores instead of the highest
	By   []string // what Most is the extreme of; empty or ["score"]: the score
}

// SearchMatch is a chunk found, best first.
type SearchMatch struct {
	FileID      ID
	ChunkID     ID
	Text        string
	Score       float64
	Collections []ID
	Fields      map[string]string
	Page        int // from 1; 0: none
}
