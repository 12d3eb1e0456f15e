package sqlindex

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"gatehouse/internal/library/filter"
	"gatehouse/internal/library/index"
)

// Engine is what each database does its own way. All run within the caller's
// transaction.
type Engine interface {
	// Dialect is the filters' and the placeholders'.
	Dialect() filter.Dialect
	// PutChunks stores some chunks of a document with their words and vectors.
	PutChunks(ctx context.Context, tx *sql.Tx, c Collection, chunks []Row) error
	// DropChunks takes out those of a document: ids first to last.
	DropChunks(ctx context.Context, tx *sql.Tx, c Collection, first, last int64) error
	// Keyword finds chunks of a collection with any of terms, which are marked,
	// best first. where narrows documents under the name d.
	Keyword(ctx context.Context, tx *sql.Tx, terms []string, where Where, n int) ([]Hit, error)
	// Nearest names about n chunks that are near a vector, in any order, the best
	// among them; ok is false where there is no index of vectors for the collection.
	Nearest(ctx context.Context, tx *sql.Tx, c Collection, vector []float32, where Where, n int) (chunks []int64, ok bool, err error)
	// Among is a condition that column is one of ids.
	Among(q *Statement, column string, ids []int64) string
	// Methods says how it searches.
	Methods() index.Methods
}

// Collection is a row of index_collections.
type Collection struct {
	Row       int64
	Metric    index.Metric
	Dimension int
	version   int64
}

// Row is a chunk as it is stored.
type Row struct {
	ID     int64
	UUID   []byte
	Page   int
	Text   string
	Vector []float32 // as it is compared; nil: none
	Words  []Word
}

// Word is a marked word and its place.
type Word struct {
	Text     string
	Position int
}

// Hit is a chunk that was found.
type Hit struct {
	Chunk int64
	Score float64
}

// placeBits are those of a chunk's id that count within its document.
const placeBits = 20

// Document is the row of the document that a chunk is of.
func Document(chunk int64) int64 { return chunk >> placeBits }

// DocumentOf is Document in SQL.
func DocumentOf(column string) string { return fmt.Sprintf("(%s >> %d)", column, placeBits) }

// FirstOf is the first id that a chunk of a document may have, in SQL.
func FirstOf(document string) string { return fmt.Sprintf("((%s) << %d)", document, placeBits) }

// Statement is a statement that is being written.
type Statement struct {
	strings.Builder
	Args    []any
	dialect filter.Dialect
}

// NewStatement starts a statement in the engine's dialect.
func NewStatement(d filter.Dialect) *Statement { return &Statement{dialect: d} }

// Bind adds a parameter and returns its placeholder.
func (s *Statement) Bind(arg any) string {
	s.Args = append(s.Args, arg)
	if s.dialect == filter.SQLite {
		return "?"
	}
	return fmt.Sprintf("$%d", len(s.Args))
}

// Add appends a piece, in which each "?" is one of args in turn.
func (s *Statement) Add(piece string, args ...any) *Statement {
	for _, arg := range args {
		before, after, _ := strings.Cut(piece, "?")
		s.WriteString(before)
		s.WriteString(s.Bind(arg))
		piece = after
	}
	s.WriteString(piece)
	return s
}

// Where narrows a search to documents of one collection that pass a filter.
type Where struct {
	Collection Collection
	Filter     *filter.Filter
}

// Add appends the condition on index_documents d.
func (w Where) Add(s *Statement) *Statement {
	s.Add("d.collection = ? AND ", w.Collection.Row)
	condition := w.Filter.SQL(s.dialect, column, s.Bind)
	s.WriteString(condition)
	return s
}

// columns are the fields that every document has.
var columns = map[string]string{"name": "d.name", "content_type": "d.content_type", "size_bytes": "d.size", "created_at": "d.created_us"}

func column(name string, bind func(any) string) string {
	if c, ok := columns[name]; ok {
		return c
	}
	return "(SELECT f.value FROM index_fields f WHERE f.document = d.id AND f.key = " + bind(strings.TrimPrefix(name, "fields.")) + ")"
}
