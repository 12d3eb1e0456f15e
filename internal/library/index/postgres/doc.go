// Package postgres is the document index in tables of a PostgreSQL database,
// 15 or later: words in tsvector, ranked by their rarity and ts_rank_cd, and
// vectors by pgvector.
//
// Where the server has the extension vector when [Migrate] runs, vectors are
// also kept in tables of half precision with an HNSW index, one for each
// dimension and way to compare. A collection of more than a few thousand vectors
// is searched by it; a smaller one, or one that a filter makes small, is
// compared whole. Without the extension all are scanned as package sqlindex
// does. [sqlindex.Store.Methods] says which.
//
// Nothing is left in a session, so a pooler in transaction mode may stand
// between, except for [Migrate].
package postgres
