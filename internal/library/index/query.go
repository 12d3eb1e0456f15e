package index

import (
	"gatehouse"
	"gatehouse/internal/library/filter"
)

// Query is one search.
type Query struct {
	// Text is looked for by its words. Nothing in it is an operator.
	Text string
	// Vectors are the query in each collection's space; where several collections
	// share a model they share the slice. A collection without one is searched by
	// word only, whatever the mode but Semantic, which finds nothing in it.
	Vectors     map[gatehouse.ID][]float32
	Mode        Mode // empty is Hybrid
	Fusion      Fusion
	Collections []gatehouse.ID
	Filter      *filter.Filter // against Schema; nil lets everything pass
	Limit       int            // 1 to MaxLimit; 0 is DefaultLimit
	// Multiplier is how many candidates for each match wanted are looked at, 1 to
	// 100; 0 is 10 (search_multiplier of wire.md §6.10). At least MinCandidates are.
	Multiplier int
	// GroupBy keeps the best chunk of each document (ByDocument) or of each value
	// of a field. A document without the field is a group of its own.
	GroupBy string
}

// ByDocument as Query.GroupBy is one match for each document.
const ByDocument = "file_id"

// The bounds of a search.
const (
	DefaultLimit   = 10
	MaxLimit       = 1000
	MaxCollections = 100
	MinCandidates  = 100
	MaxCandidates  = 10_000
)

// Fusion is how the two lists of a hybrid search become one: a chunk's score is
// the sum of weight/(K + its place) over the lists that it is in.
type Fusion struct {
	K                             float64 // 0 is 60
	SemanticWeight, KeywordWeight float64 // both 0 are 0.5 each
}

// Match is a chunk found.
type Match struct {
	ChunkID    gatehouse.ID // version 7; another after the document is put again
	Text       string
	Score      float64 // higher is better; comparable within one answer only
	Page       int
	Collection gatehouse.ID
	Document   gatehouse.ID
	Name       string
	Fields     map[string]string
}

// Check sets what was left out and reports everything that is wrong.
func (q *Query) Check() error {
	var bad gatehouse.Violations
	setDefault(&q.Mode, Hybrid)
	setDefault(&q.Limit, DefaultLimit)
	setDefault(&q.Multiplier, 10)
	setDefault(&q.Fusion.K, 60)
	if q.Fusion.SemanticWeight == 0 && q.Fusion.KeywordWeight == 0 {
		q.Fusion.SemanticWeight, q.Fusion.KeywordWeight = 0.5, 0.5
	}
	if q.Mode != Hybrid && q.Mode != Semantic && q.Mode != Keyword {
		bad.Addf("retrieval_mode", "is hybrid, semantic or keyword, not %q", q.Mode)
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		bad.Addf("limit", "is 1 to %d, not %d", MaxLimit, q.Limit)
	}
	if q.Multiplier < 1 || q.Multiplier > 100 {
		bad.Addf("search_multiplier", "is 1 to 100, not %d", q.Multiplier)
	}
	// Written so that a NaN is refused.
	if f := q.Fusion; !(f.K > 0 && f.K <= 1e6 && f.SemanticWeight >= 0 && f.SemanticWeight <= 1e6 && f.KeywordWeight >= 0 && f.KeywordWeight <= 1e6) {
		bad.Addf("reciprocal_rank_fusion", "k is above 0 and the weights are not below it, none above a million")
	}
	if len(q.Collections) == 0 || len(q.Collections) > MaxCollections {
		bad.Addf("collection_ids", "are 1 to %d, not %d", MaxCollections, len(q.Collections))
	}
	return bad.Err()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Schema is what a search's filter may name: what every document has, and the
// keys that its collections define, bare or after "fields.". A key with the name
// of something that every document has needs the prefix.
func Schema(keys ...string) filter.Schema {
	s := filter.Schema{
		{Name: "name"},
		{Name: "content_type"},
		{Name: "size_bytes", Kind: filter.Number},
		{Name: "created_at", Kind: filter.Time},
	}
	for _, k := range keys {
		s = append(s, filter.Field{Name: k, Kind: filter.Loose}, filter.Field{Name: "fields." + k, Kind: filter.Loose})
	}
	return s
}
