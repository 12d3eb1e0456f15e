package sqlstore

import (
	"strconv"
	"strings"
	"time"

	library "gatehouse/internal/library/filter"
)

// query is a portable statement with ? for parameters.
type query string

// Dialect is what an engine does differently. What stays zero is not done.
type Dialect struct {
	// Dollar numbers the placeholders: $1 for ?.
	Dollar bool
	// Begin and BeginRead start a transaction that writes, and a snapshot.
	Begin, BeginRead string
	// Index files the words of an audit event.
	Index string
	// Match finds events by their words.
	Match func(Match) Matched
	// Blocks keeps bitmaps of common words beside the engine's index: see common.go.
	Blocks bool
	// Filter is the engine for which filters of lists are written.
	Filter library.Dialect
	// Overrides replaces portable statements by their text.
	Overrides map[string]string

	// Unprepared sends statements as they are: a pooler between may give every
	// transaction another connection of the server, which has never heard of
	// what was prepared.
	Unprepared bool
	// Cursors makes scans whose rows are looked at one by one read in pages,
	// where a connection does one thing at a time.
	Cursors bool
	// Shared says that other processes write too: what is known of the log is
	// compared with the snapshot before it judges a row.
	Shared bool
	// Scope tells a snapshot whose rows it may see, and WriteScope a transaction
	// that writes; one parameter.
	Scope, WriteScope string
	// Columns inserts usage rows given as a list per column, however many there
	// are; empty where lists are not parameters.
	Columns string
	// Notify wakes the other processes after a change, once per group.
	Notify string
	// LockBooks locks teams' money, in the order given, until the transaction
	// ends; one parameter, a list of numbers. Empty: there is one writer.
	LockBooks string
	// AddDay makes room for a day of usage. Where it is empty, rows simply go
	// into their table.
	AddDay string
	// Loaded is run after a load, to move what counts by itself behind it.
	Loaded []string
	// Patience bounds a statement that has no context of a caller; zero: none.
	Patience time.Duration
	// Refused reports an error that is the server's clear no: it kept nothing of
	// the transaction. Any other error of a COMMIT leaves the outcome unknown.
	// Nil: every error is a clear no, since the engine is in this process.
	Refused func(error) bool
	// Again reports an error with which the engine broke a deadlock: the
	// transaction may run again. Nil: there is one writer, and no deadlock.
	Again func(error) bool
}

// Match is a search for words: all of Prefixes and all of Exact occur, and the
// event's index is in [Low, High).
type Match struct {
	Prefixes, Exact []string
	Low, High       int64
	Ascending       bool
	Most            int64 // how many are wanted; what else narrows comes after
}

// Matched is how an engine says a Match: a FROM that joins the events as a, the
// column that holds their index, and terms for WHERE, each with its parameters.
type Matched struct {
	From     string
	FromArgs []any
	Index    string
	Where    string
	Args     []any
}

func (d *Dialect) text(q query) string {
	if s, ok := d.Overrides[string(q)]; ok {
		return s
	}
	if !d.Dollar {
		return string(q)
	}
	return dollars(string(q))
}

// dollars rewrites placeholders. A ? in a literal is none.
func dollars(s string) string {
	var b strings.Builder
	n := 0
	for i, part := range strings.Split(s, "'") {
		if i > 0 {
			b.WriteByte('\'')
		}
		for i%2 == 0 {
			before, after, found := strings.Cut(part, "?")
			if !found {
				break
			}
			n++
			b.WriteString(before + "$" + strconv.Itoa(n))
			part = after
		}
		b.WriteString(part)
	}
	return b.String()
}
