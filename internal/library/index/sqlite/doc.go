// Package sqlite is the document index in a SQLite file of its own: words in
// FTS5, ranked by bm25, and vectors scanned in Go.
//
// The engine's vector extension was measured and left out: a scan of 100,000
// vectors of 384 dimensions took it 106 ms (96 ms with one byte a dimension),
// where the scan of package sqlindex takes 13 ms over a copy of a quarter of the
// size, and rescores exactly what it found.
package sqlite
