// Package search measures the document index at the size of the goals: how long
// a hybrid search takes and what share of the nearest vectors it finds, against
// a brute force over all. The indexes are made once, in a directory that is kept
// (VERIFY_SEARCH_DIR), and a load that was cut short goes on where it was.
package search
