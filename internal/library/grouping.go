package library

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"gatehouse"
	"gatehouse/internal/library/index"
)

// byScore as a key of an aggregate is the score.
const byScore = "score"

// group judges the keys of a grouping, which are file_id and fields of the
// collections searched, bare or after "fields.". Where the index can do it, it
// does: the best of each value of one key.
func (r *searching) group(known []string, bad *gatehouse.Violations) {
	g := *r.Group
	setDefault(&g.Most, 1)
	if len(g.By) == 0 {
		g.By = []string{byScore}
	}
	g.Keys = fieldsNamed("group_by.keys", g.Keys, known, index.ByDocument, bad)
	g.By = fieldsNamed("group_by.aggregate.keys", g.By, known, byScore, bad)
	r.Group = &g
	if len(g.Keys) == 1 && g.Most == 1 && !g.Min && slices.Equal(g.By, []string{byScore}) {
		r.query.GroupBy = g.Keys[0]
	}
}

// fieldsNamed strips the prefix of fields and refuses what is neither a field
// nor the one other name.
func fieldsNamed(parameter string, names, known []string, other string, bad *gatehouse.Violations) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n
		if bare, is := strings.CutPrefix(n, "fields."); is && !slices.Contains(known, n) {
			out[i] = bare
		}
		if out[i] != other && !slices.Contains(known, out[i]) {
			bad.Addf(parameter, "unknown key %q; the known ones are %s", clip(n), strings.Join(append([]string{other}, known...), ", "))
		}
	}
	return out
}

// grouped keeps of each group as many as are wanted; what remains stays in its
// order. A match that lacks a key is a group with its document alone.
func (r *searching) grouped(all []gatehouse.SearchMatch) []gatehouse.SearchMatch {
	if r.Group == nil {
		return all
	}
	groups := map[string][]int{}
	for i := range all {
		name := r.groupOf(&all[i])
		groups[name] = append(groups[name], i)
	}
	var keep []int
	for _, members := range groups {
		slices.SortStableFunc(members, func(a, b int) int { return r.extremer(&all[a], &all[b]) })
		keep = append(keep, members[:min(len(members), r.Group.Most)]...)
	}
	slices.Sort(keep)
	out := make([]gatehouse.SearchMatch, len(keep))
	for i, k := range keep {
		out[i] = all[k]
	}
	return out
}

// groupOf names the group of a match. Lengths keep values apart.
func (r *searching) groupOf(m *gatehouse.SearchMatch) string {
	parts := make([]string, 0, len(r.Group.Keys))
	for _, k := range r.Group.Keys {
		value, has := m.Fields[k]
		if k == index.ByDocument || !has {
			value = "file " + m.FileID.String()
		}
		parts = append(parts, value)
	}
	return fingerprint(parts...)
}

// extremer orders the matches of a group: those that stay first. Who lacks a
// value goes last.
func (r *searching) extremer(a, b *gatehouse.SearchMatch) int {
	for _, k := range r.Group.By {
		order := 0
		if k == byScore {
			order = cmp.Compare(a.Score, b.Score)
		} else {
			x, inA := a.Fields[k]
			y, inB := b.Fields[k]
			if inA != inB {
				return map[bool]int{true: -1, false: 1}[inA]
			}
			order = compareValues(x, y)
		}
		if !r.Group.Min {
			order = -order
		}
		if order != 0 {
			return order
		}
	}
	return 0
}

// compareValues compares numbers as numbers and everything else by bytes.
func compareValues(a, b string) int {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return strings.Compare(a, b)
}
