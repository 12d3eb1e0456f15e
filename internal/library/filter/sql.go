package filter

import (
	"fmt"
	"strings"
)

// Dialect is the engine that a condition is written for.
type Dialect int

// The engines.
const (
	SQLite Dialect = iota
	Postgres
)

// Columns says where a field is: an SQL expression, of text for Text and Loose,
// of a number for Number, of microseconds since 1970 for Time; NULL where the
// record lacks it. bind adds a parameter of the expression's own. An expression
// never holds the name itself.
type Columns func(name string, bind func(any) string) string

// SQL writes the filter as a condition that is true or false and never NULL.
// bind takes each parameter in the order of the text and returns its
// placeholder. A nil filter is TRUE.
func (f *Filter) SQL(d Dialect, columns Columns, bind func(any) string) string {
	if f == nil {
		return "TRUE"
	}
	w := &writer{dialect: d, columns: columns, bind: bind}
	w.node(f.root)
	return w.String()
}

type writer struct {
	strings.Builder
	dialect Dialect
	columns Columns
	bind    func(any) string
}

func (w *writer) node(n *node) {
	switch n.join {
	case none:
		w.WriteString("COALESCE(")
		w.comparison(n.leaf)
		w.WriteString(", FALSE)")
		return
	case not:
		w.WriteString("(NOT ")
		w.node(n.kids[0])
	default:
		for i, k := range n.kids {
			w.WriteString([]string{"(", map[join]string{and: " AND ", or: " OR "}[n.join]}[min(i, 1)])
			w.node(k)
		}
	}
	w.WriteByte(')')
}

func (w *writer) comparison(c *comparison) {
	column := w.columns(c.name, w.bind)
	switch {
	case c.partial() && w.dialect == SQLite:
		fmt.Fprintf(w, "instr(lower(%s), %s) > 0", column, w.bind(fold(c.value.text)))
		return
	case c.partial():
		fmt.Fprintf(w, `strpos(lower(%s COLLATE "C"), %s::text) > 0`, column, w.bind(fold(c.value.text)))
		return
	case c.field.Kind == Loose && c.numeric():
		column = w.number(column)
	case w.dialect == Postgres && (c.field.Kind == Text || c.field.Kind == Loose) && c.op != equal:
		column = `(` + column + `) COLLATE "C"`
	}
	if c.op != between {
		fmt.Fprintf(w, "%s %s %s", column, c.op, w.literal(c, c.value))
		return
	}
	fmt.Fprintf(w, "%s BETWEEN ", column)
	fmt.Fprintf(w, "%s AND ", w.literal(c, c.value))
	w.WriteString(w.literal(c, c.high))
}

// number reads text as [parseNumber] does. The text is computed once.
func (w *writer) number(column string) string {
	test, as := `v ~ '^-?[0-9]+(\.[0-9]+)?$'`, "float8"
	if w.dialect == SQLite {
		test, as = `trim(v, '-0123456789.') = '' AND v GLOB '*[0-9]' AND ltrim(v, '-') GLOB '[0-9]*' AND v NOT GLOB '--*'
AND substr(v, 2) NOT GLOB '*-*' AND v NOT GLOB '*.*.*'`, "REAL"
	}
	return fmt.Sprintf("(SELECT CASE WHEN length(v) <= %d AND %s THEN CAST(v AS %s) END FROM (SELECT %s AS v) AS one)", maxNumber, test, as, column)
}

func (w *writer) literal(c *comparison, v literal) string {
	value, as := any(v.text), "text"
	switch {
	case c.numeric():
		value, as = v.number, "float8"
	case c.field.Kind == Time:
		value, as = v.micros, "bigint"
	}
	if w.dialect == Postgres {
		return w.bind(value) + "::" + as
	}
	return w.bind(value)
}
