package sqlstore

import (
	"math"
	"slices"

	"gatehouse/internal/store"
)

// measures are the columns that groups may be ranked by.
var measures = map[store.Measure]int{
	store.RankItems: colItems, store.RankAmount: colAmount, store.RankTokens: colTokens, store.RankTicks: colTicks,
}

// ranked is what groups are chosen by.
type ranked struct{ rank, items int64 }

// choose finds the largest groups: it sums one measure over the whole scan,
// and has all groups but those skipped from then on.
func (t *tally) choose(v *view) error {
	width, column := t.width, measures[t.scan.Rank]
	t.width = 0
	for _, p := range spans(t.scan.Start, t.scan.End) {
		if err := t.each(v, p, func(k *block, p span) error { return t.rank(k, p, column) }, t.rankOne); err != nil {
			return err
		}
	}
	t.width = width
	return t.largest(v)
}

// rank adds a block's measure to its groups.
func (t *tally) rank(k *block, p span, column int) error {
	if any, err := t.locate(k, p); !any {
		return err
	}
	for _, c := range []int{column, colItems} {
		if err := k.read(c, &t.numbers[c]); err != nil {
			return err
		}
	}
	t.growRanks()
	values, items := &t.numbers[column], &t.numbers[colItems]
	for i := range k.n {
		r := &t.ranks[t.at[i]]
		r.rank += values[i]
		r.items += items[i]
	}
	return nil
}

func (t *tally) growRanks() {
	if n := len(t.groups) - len(t.ranks); n > 0 {
		t.ranks = append(t.ranks, make([]ranked, n)...)
	}
}

func (t *tally) rankOne(e *entry) error {
	g := t.find(e.key, [3]int64{e.model, e.endpoint, e.cluster})
	t.growRanks()
	r := &t.ranks[g]
	r.items += e.items
	r.rank += map[store.Measure]int64{store.RankItems: e.items, store.RankAmount: e.amount, store.RankTokens: e.tokens, store.RankTicks: e.ticks}[t.scan.Rank]
	return nil
}

// largest chooses the largest groups. Names decide between equals, and are
// looked up for those alone that tie at the end of the list.
func (t *tally) largest(v *view) error {
	t.growRanks()
	t.ranks[0] = ranked{} // of what was filtered
	t.chosen = make([]bool, len(t.groups))
	var values []int64
	for _, r := range t.ranks {
		if r.items > 0 {
			values = append(values, r.rank)
		}
	}
	slices.Sort(values)
	least, left := int64(math.MinInt64), t.scan.Most
	if len(values) > t.scan.Most {
		least = values[len(values)-t.scan.Most]
	}
	var ties []int32
	for g, r := range t.ranks {
		switch {
		case r.items == 0 || r.rank < least:
		case r.rank == least:
			ties = append(ties, int32(g))
		default:
			t.chosen[g] = true
			left--
		}
	}
	if err := t.breakTies(v, ties, left); err != nil {
		return err
	}
	t.narrow()
	return nil
}

// narrow lets pass only the keys of what was chosen: few, as a rule, and where
// a block has none of them the rest of it is not read.
func (t *tally) narrow() {
	if !t.grouped[0] {
		return
	}
	keys := map[int64]bool{}
	for g, ok := range t.chosen {
		if ok {
			keys[t.groups[g].key] = true
		}
	}
	t.allowed[0], t.last = keys, &keyRow{key: -1}
}

func (t *tally) breakTies(v *view, ties []int32, left int) error {
	for _, g := range ties {
		if _, err := t.label(v, g); err != nil {
			return err
		}
	}
	slices.SortFunc(ties, func(a, b int32) int { return slices.Compare(t.labels[a], t.labels[b]) })
	for _, g := range ties[:min(left, len(ties))] {
		t.chosen[g] = true
	}
	return nil
}
