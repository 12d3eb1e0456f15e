package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gatehouse"
)

type searchCmd struct {
	inference
	Query        string         `arg:"" help:"What to look for, in words."`
	Collection   []gatehouse.ID `help:"Collection to look in. Repeatable." required:"" placeholder:"ID"`
	Limit        int            `help:"Most matches. Default: 10." placeholder:"N"`
	Filter       string         `help:"Only in documents whose fields fit, such as 'year >= 2020 AND (lang = \"de\" OR lang = \"fr\")'." placeholder:"FILTER"`
	Mode         string         `help:"By words (keyword), by meaning (semantic), or by both (hybrid)." enum:"hybrid,semantic,keyword" default:"hybrid"`
	Instructions string         `help:"Put before the query where its meaning is looked for." placeholder:"TEXT"`
	GroupBy      []string       `help:"Show the best match of each: file_id, or a field of documents. Repeatable." placeholder:"KEY"`
	PerGroup     int            `help:"Show this many of each instead." default:"1" placeholder:"N"`
}

// Run searches.
func (c *searchCmd) Run(e *env) error {
	return c.do(e, 0, func(s *asking) error {
		q := gatehouse.Search{
			Query: c.Query, Collections: c.Collection, Limit: c.Limit, Filter: c.Filter, Mode: c.Mode, Instructions: c.Instructions,
		}
		if len(c.GroupBy) > 0 {
			q.Group = &gatehouse.SearchGroup{Keys: c.GroupBy, Most: c.PerGroup}
		}
		found, err := s.SearchDocuments(s, q)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			fmt.Fprintln(e.err, "nothing found")
		}
		return s.show(func(w io.Writer) { printMatches(w, found) })
	})
}

// printMatches writes each match as a line about it, and its text.
func printMatches(w io.Writer, found []gatehouse.SearchMatch) {
	for i, m := range found {
		if i > 0 {
			fmt.Fprintln(w)
		}
		about := []string{strconv.Itoa(i+1) + ".", strconv.FormatFloat(m.Score, 'g', 4, 64), fileID(m.FileID)}
		if m.Page > 0 {
			about = append(about, "page "+strconv.Itoa(m.Page))
		}
		for _, key := range slices.Sorted(maps.Keys(m.Fields)) {
			about = append(about, escaped(key+"="+m.Fields[key]))
		}
		fmt.Fprintln(w, strings.Join(about, "  "))
		for text := range strings.Lines(m.Text) {
			fmt.Fprintln(w, "   ", escaped(strings.ReplaceAll(strings.TrimRight(text, "\r\n"), "\t", " ")))
		}
	}
}
