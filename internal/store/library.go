package store

import (
	"time"

	"gatehouse"
	"gatehouse/internal/library/filter"
)

// LibraryView reads what teams keep in the library. What was deleted is
// NotFound at once, whatever of it is still to be swept: a file that collections
// own is there only while one of them is.
type LibraryView interface {
	File(id gatehouse.ID) (*gatehouse.File, error) // LinkURL in the clear
	Files(q LibraryList) ([]*gatehouse.File, error)
	// FilesOver lists files of all teams whose time has come, and FilesUnheld those
	// that collections own while none holds them.
	FilesOver(now time.Time, limit int) ([]*gatehouse.File, error)
	FilesUnheld(limit int) ([]*gatehouse.File, error)
	// LibrarySize is how many files a team has, and how many bytes; a blob that two
	// files share counts twice.
	LibrarySize(team gatehouse.ID) (files int, bytes int64, err error)
	Collection(id gatehouse.ID) (*gatehouse.Collection, error)
	// Collections lists with what each holds.
	Collections(q LibraryList) ([]*gatehouse.CollectionView, error)
	CollectionSize(id gatehouse.ID) (documents int, bytes int64, err error)
	CollectionCount(team gatehouse.ID) (int, error)
	// Document, Documents and CollectionsOf know documents of live collections and
	// live files; File and State are filled.
	Document(collection, file gatehouse.ID) (*gatehouse.Document, error)
	Documents(q LibraryList) ([]*gatehouse.Document, error)
	CollectionsOf(file gatehouse.ID) ([]gatehouse.ID, error)
	// DocumentWith finds the document of a collection whose field has a value; the
	// zero ID for none.
	DocumentWith(collection gatehouse.ID, key, value string) (file gatehouse.ID, err error)
	// DocumentsHaving lists documents of a collection that have a field at all.
	DocumentsHaving(collection gatehouse.ID, key string, limit int) ([]gatehouse.ID, error)
	// DocumentsGone lists the documents that a deleted collection or file left
	// behind, of all teams.
	DocumentsGone(limit int) ([]*gatehouse.Document, error)
	// DocumentsProcessed lists the Processed documents of all teams by collection
	// and file, from the first after one, for whoever compares them with the index.
	// It reads no records.
	DocumentsProcessed(after DocumentRef, limit int) ([]DocumentRef, error)
}

// DocumentRef names a document as it was at a generation.
type DocumentRef struct {
	Team, Collection, File gatehouse.ID
	Generation             int64
}

// LibraryList selects files, collections or documents of a team, in the order of
// (Sort, id). Names are compared by bytes.
type LibraryList struct {
	Team       gatehouse.ID
	Collection gatehouse.ID   // of documents
	Filter     *filter.Filter // against FileFields, CollectionFields or DocumentFields; nil: all
	Name       string         // a part of the name, in either case of ASCII letters; empty: all
	Sort       gatehouse.LibrarySort
	Ascending  bool
	After      LibraryCursor
	Limit      int
}

// LibraryCursor is the place of a record in a LibraryList's order: its name, or
// its size, or its create time. A zero ID is before the first.
type LibraryCursor struct {
	Name string       `json:"n,omitempty"`
	Size int64        `json:"s,omitempty"`
	Time time.Time    `json:"t,omitzero"`
	ID   gatehouse.ID `json:"i,omitzero"`
}

// statuses are the spellings of a document's status in a filter.
var statuses = map[string]string{
	"DOCUMENT_STATUS_PROCESSING": string(gatehouse.DocumentProcessing),
	"DOCUMENT_STATUS_CHUNKED":    string(gatehouse.DocumentChunked),
	"DOCUMENT_STATUS_EMBEDDING":  string(gatehouse.DocumentEmbedding),
	"DOCUMENT_STATUS_WRITING":    string(gatehouse.DocumentWriting),
	"DOCUMENT_STATUS_PROCESSED":  string(gatehouse.DocumentProcessed),
	"DOCUMENT_STATUS_FAILED":     string(gatehouse.DocumentFailed),
	"processing":                 string(gatehouse.DocumentProcessing),
	"chunked":                    string(gatehouse.DocumentChunked),
	"embedding":                  string(gatehouse.DocumentEmbedding),
	"writing":                    string(gatehouse.DocumentWriting),
	"processed":                  string(gatehouse.DocumentProcessed),
	"ready":                      string(gatehouse.DocumentProcessed),
	"failed":                     string(gatehouse.DocumentFailed),
}

// What filters of the three lists may name (wire.md §5 and §6.9).
var (
	FileFields = filter.Schema{
		{Name: "name", Partial: true}, {Name: "filename", Partial: true}, {Name: "file_id"}, {Name: "size_bytes", Kind: filter.Number},
		{Name: "content_type"}, {Name: "created_at", Kind: filter.Time}, {Name: "expires_at", Kind: filter.Time},
	}
	CollectionFields = filter.Schema{
		{Name: "collection_id"}, {Name: "collection_name", Partial: true}, {Name: "created_at", Kind: filter.Time},
		{Name: "documents_count", Kind: filter.Number},
	}
	DocumentFields = filter.Schema{
		{Name: "file_id"}, {Name: "name", Partial: true}, {Name: "content_type"}, {Name: "size_bytes", Kind: filter.Number},
		{Name: "created_at", Kind: filter.Time}, {Name: "status", Values: statuses}, {Name: "fields.*", Kind: filter.Loose},
	}
)

// LibraryTx writes what teams keep. Files, collections and documents change
// nothing that gateways hold, so the feed does not carry them.
type LibraryTx interface {
	// PutFile needs its Blob to be held (Conflict: its time ran out, upload again).
	PutFile(*gatehouse.File, gatehouse.Act) error
	// DropFile ends a file. Documents that it is in are no longer there, and are
	// DocumentsGone until they are dropped.
	DropFile(id gatehouse.ID, act gatehouse.Act) error
	PutCollection(*gatehouse.Collection, gatehouse.Act) error
	// DropCollection ends a collection; its documents are DocumentsGone until they
	// are dropped. It leaves a Task to take it out of the index.
	DropCollection(id gatehouse.ID, act gatehouse.Act) error
	// PutDocument keeps a document and its fields. A new one, and one with another
	// Generation than before, leaves a Task to index it and begins as Processing.
	PutDocument(*gatehouse.Document, gatehouse.Act) error
	// DropDocument ends a document, and leaves a Task to take it out of the index.
	DropDocument(collection, file gatehouse.ID, act gatehouse.Act) error
}

// TaskKind is what a Task is for.
type TaskKind string

// The kinds of tasks.
const (
	TaskIndex   TaskKind = "index"   // the document, as it is now
	TaskUnindex TaskKind = "unindex" // the document is gone: take it out of the index
	TaskPurge   TaskKind = "purge"   // the collection is gone: take it out of the index
)

// Task is work of the library that outlives a process. There is one for each
// document that needs any, and one holder at a time works on it: a change while
// it is held leaves it held, and makes EndTask say that there is more to do.
type Task struct {
	Team, Collection, File gatehouse.ID // a zero File: the whole collection
	Kind                   TaskKind
	Generation             int64 // of the document when it was claimed
	Attempts               int   // claims before this one that came to no end
	Holder                 string
}

// LibraryWork is the bookkeeping of the library.
type LibraryWork interface {
	// ClaimTask gives the task that is due longest and held by nobody to a holder
	// until a time; NotFound when there is none.
	ClaimTask(holder string, now, until time.Time) (*Task, error)
	// FreeTasks frees, as of now, what holders hold whose names begin with a
	// prefix, for a node that starts: what it held, it died with.
	FreeTasks(prefix string, now time.Time) error
	// HoldTask holds it longer, and notes how far its document has come (nil: as
	// it was). held is false when it is no longer the holder's, or the document
	// has changed since: stop then.
	HoldTask(t *Task, until time.Time, state *gatehouse.DocumentState) (held bool, err error)
	// EndTask ends it with the document's state (nil for what is no longer there).
	// done is false when the task was lost or its document has changed: then it is
	// free to be claimed anew, and nothing is noted.
	EndTask(t *Task, state *gatehouse.DocumentState) (done bool, err error)
	// LaterTask puts it back until due, and notes the state (nil: as it was).
	LaterTask(t *Task, due time.Time, state *gatehouse.DocumentState) error
	// IndexAnew leaves tasks, due now, for documents that the index has lost, at
	// most 200, makes them Processing, and tells how many. One that is not Processed
	// at that generation any more, or that somebody works on, is left as it is.
	IndexAnew(refs []DocumentRef) (n int64, err error)
	// TasksLeft counts what waits or is worked on, for metrics.
	TasksLeft() (int64, error)

	// TakeBlob finds bytes that the team has already, by their hash, and holds
	// them until a time, so that they are not swept before a file refers to them.
	TakeBlob(team gatehouse.ID, hash string, until time.Time) (name string, found bool, err error)
	// PlanBlob notes a blob before a byte of it is written; StoredBlob says that it
	// is whole, and until when it is held from then on: nobody else can hold it
	// yet. Only whole ones are found and may be referred to.
	PlanBlob(Blob, time.Time) error
	StoredBlob(name string, until time.Time) error
	// SweepBlobs condemns blobs that no file refers to and that nobody holds at
	// now, and names all that are condemned, at most limit: delete them, then
	// forget them. A condemned one is never found again.
	SweepBlobs(now time.Time, limit int) (names []string, err error)
	ForgetBlobs(names []string) error
}

// Blob is bytes in the library's blob store.
type Blob struct {
	Name string // in the blob store; never used twice
	Team gatehouse.ID
	Hash string // SHA-256 of the bytes, hex
	Size int64
}
