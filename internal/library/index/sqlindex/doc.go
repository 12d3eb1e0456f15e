// Package sqlindex is what the engines of the document index share: the tables,
// the words, the scan of vectors, the fusion. What an engine does its own way is
// in an [Engine].
//
// # Words
//
// Both engines get words that were cut here ([words]): letters and digits, in
// lower case without accents, English plurals reduced, scripts without spaces in
// pairs of characters. Each carries the number of its collection, so that no
// list of occurrences is shared between collections.
//
// # Vectors
//
// A copy of each collection's vectors, one byte a dimension, is kept in memory
// and scanned whole; the best are compared again by their full vectors from the
// database, within the search's snapshot. So there is no index to build, nothing
// approximate but the choice of candidates, and a filter costs no recall. The
// copy follows the collection's version, which every change of its documents
// moves on, so other nodes' changes are seen too. An engine that has an index of
// vectors answers instead.
package sqlindex
