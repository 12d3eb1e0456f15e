package sqlite

import (
	"strings"

	"gatehouse/internal/store/sqlstore"
)

// match asks the full-text index. CROSS JOIN keeps the index's order: SQLite
// does not reorder it.
func match(m sqlstore.Match) sqlstore.Matched {
	var terms []string
	for _, w := range m.Prefixes {
		terms = append(terms, `"`+w+`"*`)
	}
	for _, w := range m.Exact {
		terms = append(terms, `"`+w+`"`)
	}
	return sqlstore.Matched{
		From: "audit_words w CROSS JOIN audit a ON a.idx = w.rowid", Index: "w.rowid",
		Where: "audit_words MATCH ?", Args: []any{strings.Join(terms, " AND ")},
	}
}
