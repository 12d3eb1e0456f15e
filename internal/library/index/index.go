// Package index is the contract of the document index: text and vectors of the
// chunks that documents were cut into, found by word, by meaning, or by both. It
// is not the truth about documents: the store has that, and an index can be
// rebuilt from it.
//
// The engines are in sqlite (a database file of its own, so that nothing waits
// for it) and postgres; package indextest holds them to this contract. Every
// call names a team, and what another team has is as if it were not there.
package index

import (
	"context"
	"iter"
	"time"

	"gatehouse"
)

// Index keeps chunks and finds them.
type Index interface {
	// PutCollection makes a collection. One that is there already stays, and must
	// have the same metric and, where both name one, dimension (FailedPrecondition).
	PutCollection(ctx context.Context, team gatehouse.ID, c Collection) error
	// DeleteCollection makes a collection unfindable at once and then takes its
	// documents out, some at a time; whatever a crash left over, Sweep takes out.
	// A collection that is not there is no error.
	DeleteCollection(ctx context.Context, team, collection gatehouse.ID) error
	// PutDocument puts a document in the place of the one with its id, whole or
	// not at all, also when the process dies. The chunks are taken as they come, so
	// that a large document needs no memory; other writers wait meanwhile, so they
	// must be at hand. An error among them is returned, and nothing is changed. No
	// chunks is a document that filters count and no search finds.
	PutDocument(ctx context.Context, team, collection gatehouse.ID, d Document, chunks iter.Seq2[Chunk, error]) error
	// UpdateFields replaces a document's fields; its chunks stay.
	UpdateFields(ctx context.Context, team, collection, document gatehouse.ID, fields map[string]string) error
	// DeleteDocument takes a document out. One that is not there is no error.
	DeleteDocument(ctx context.Context, team, collection, document gatehouse.ID) error
	// Entries lists the documents of all teams in the order of Row, from the first
	// after a row, for whoever compares them with the truth.
	Entries(ctx context.Context, after int64, limit int) ([]Entry, error)
	// Lacks names those of some documents, a few hundred, that a collection does not
	// have at all or has of another generation, in their order.
	Lacks(ctx context.Context, team, collection gatehouse.ID, of []Edition) ([]Edition, error)
	// DeleteEntry takes a document out as it was listed: what was put in its place
	// since stays.
	DeleteEntry(ctx context.Context, e Entry) error
	// Search finds chunks, best first. Collections that are not the team's are
	// searched as if they were empty.
	Search(ctx context.Context, team gatehouse.ID, q Query) ([]Match, error)
	// Stats counts what a collection has; a collection that is not there, NotFound.
	Stats(ctx context.Context, team, collection gatehouse.ID) (Stats, error)
	// Sweep finishes deletions that a crash cut short. Call it after opening.
	Sweep(ctx context.Context) error
	// Methods says how this index searches, for logs and the doctor.
	Methods() Methods
	// Close releases the engine.
	Close() error
}

// Metric is how near two vectors are.
type Metric string

// The metrics (wire.md §5, metric_space).
const (
	Cosine       Metric = "cosine"
	Euclidean    Metric = "euclidean"
	InnerProduct Metric = "inner_product"
)

// Collection is what the index must know of one.
type Collection struct {
	ID     gatehouse.ID
	Metric Metric // empty is Cosine
	// Dimension is the length of its vectors; 0 leaves it to the first that comes.
	Dimension int
}

// Document is what matches tell and filters ask.
type Document struct {
	ID          gatehouse.ID
	Name        string
	ContentType string
	Size        int64 // bytes of the file
	Created     time.Time
	Fields      map[string]string
	Generation  int64 // of the truth's document that this is made of; see Lacks
}

// Chunk is a piece of a document.
type Chunk struct {
	Text   string
	Page   int       // from 1; 0 where there are no pages
	Vector []float32 // nil: found by word only
}

// Of are chunks for PutDocument that are in memory anyway.
func Of(chunks ...Chunk) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		for _, c := range chunks {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Entry is a document as it stands in the index.
type Entry struct {
	Team, Collection, Document gatehouse.ID
	Row                        int64 // another after the document is put again, and never used twice
}

// Edition is a document as the truth has it.
type Edition struct {
	Document   gatehouse.ID
	Generation int64
}

// MaxChunk is the longest text of a chunk, in bytes, and MaxChunks how many a
// document may have.
const (
	MaxChunk  = 256 << 10
	MaxChunks = 1 << 20
)

// Mode is how a search searches.
type Mode string

// The modes (wire.md §6.10).
const (
	Hybrid   Mode = "hybrid" // both, fused by reciprocal rank
	Semantic Mode = "semantic"
	Keyword  Mode = "keyword"
)

// Stats counts a collection.
type Stats struct {
	Documents, Chunks, Vectors int64
	Bytes                      int64 // of the chunks' text
}

// Methods says how an index searches.
type Methods struct{ Keyword, Semantic string }
