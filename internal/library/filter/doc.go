// Package filter reads the filters of lists and of searches (wire.md §5, §6.9,
// §6.10), a subset of AIP-160:
//
//	collection_name:"SEC" AND documents_count:>10
//	created_at:>2025-01-01T00:00:00Z OR NOT status:!DOCUMENT_STATUS_FAILED
//	(author = "Kim" OR author = "Lee") AND year:2010..2020
//
// A filter is comparisons joined by AND, OR and NOT; AND binds tighter than OR,
// NOT tightest. A comparison is a field, an operator (: = != < <= > >=, and
// after a colon ! != = < <= > >=) and a value, quoted by ' or " where it has
// spaces or parentheses. low..high after a colon or = is a range with both ends.
// There are no wildcards, and words joined by nothing are refused.
//
// [Parse] checks a filter against the fields a caller knows. What it returns is
// compiled to a condition of a query ([Filter.SQL]) or asked of one record
// ([Filter.Match]); both say the same, and the second is the oracle of the first.
// A record without the field meets no comparison of it, so it meets NOT and !=.
package filter
