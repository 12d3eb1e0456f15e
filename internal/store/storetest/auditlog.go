package storetest

import (
	"fmt"

	"gatehouse"
	"gatehouse/internal/audit"
	"gatehouse/internal/store"
)

var auditPromises = []promise{
	{"an event reads back as it was caused", eventReadsBack},
	{"every leaf is in the tree that the root follows from", leavesMakeTheTree},
	{"events page in both directions", eventsPage},
	{"event filters narrow: team, person, event, action, time", eventFilters},
	{"descriptions are found by words and prefixes, in any case", eventWords},
	{"no query is syntax", eventQueriesAreWords},
	{"the newest checkpoint is kept", checkpointKept},
}

func (b *bench) record(action, description string) {
	b.Helper()
	b.update(func(tx store.Tx) error { return tx.Record(b.act(action, description)) })
}

func eventReadsBack(b *bench) {
	cause := b.cause()
	act := b.act("login.denied", "Someone was refused")
	act.Kind, act.Subject, act.Result = gatehouse.KindTeam, b.team.String(), gatehouse.Denied
	rev, err := b.s.Update(b.ctx, cause, func(tx store.Tx) error { return tx.Record(act) })
	b.ok(err)
	e := b.events(gatehouse.EventFilter{After: -1})[0]
	b.equal(e.Act, act)
	b.equal(e.Actor, cause.Actor)
	b.equal([]string{e.RequestID, e.Reason}, []string{cause.RequestID, cause.Reason})
	b.equal(e.Revision, rev)
	b.equal(e.Index, int64(0))
	if e.ID.IsZero() || e.Time.IsZero() {
		b.Fatalf("event without id or time: %+v", e)
	}
}

func leavesMakeTheTree(b *bench) {
	for i := range 9 {
		b.putKey(b.key(fmt.Sprint(i), start))
	}
	r, n := audit.NewReplayer(), int64(0)
	tree := b.tree()
	b.view(func(v store.View) error {
		return v.Leaves(0, func(l store.Leaf) error {
			if l.Index != n || len(l.Signature) == 0 || l.Personal == nil {
				b.Fatalf("leaf %d: %+v", n, l)
			}
			n++
			return r.Add(audit.Leaf(l))
		})
	})
	b.equal(n, int64(9))
	heads, err := r.Finish(tree.Size, tree.Frontier)
	b.ok(err)
	b.equal(len(heads), 9)
	mine := gatehouse.Errorf(gatehouse.Conflict, "enough")
	seen := int64(-1)
	b.is(b.s.View(b.ctx, func(v store.View) error {
		return v.Leaves(5, func(l store.Leaf) error { seen = l.Index; return mine })
	}), gatehouse.Conflict)
	b.equal(seen, int64(5))
}

func indexes(events []gatehouse.Event) (out []int64) {
	for _, e := range events {
		out = append(out, e.Index)
	}
	return out
}

func eventsPage(b *bench) {
	for i := range 7 {
		b.record("x", fmt.Sprintf("common word%d", i))
	}
	for _, q := range []string{"", "common"} {
		page := func(asc bool, after int64) []int64 {
			return indexes(b.events(gatehouse.EventFilter{TeamID: b.team, Query: q, Ascending: asc, After: after, Limit: 3}))
		}
		b.equal(page(true, -1), []int64{0, 1, 2})
		b.equal(page(true, 2), []int64{3, 4, 5})
		b.equal(page(true, 5), []int64{6})
		b.equal(page(true, 6), []int64(nil))
		b.equal(page(false, -1), []int64{6, 5, 4})
		b.equal(page(false, 4), []int64{3, 2, 1})
		b.equal(page(false, 1), []int64{0})
		b.equal(page(false, 0), []int64(nil))
	}
}

func eventFilters(b *bench) {
	b.record("a", "first")
	b.record("b", "second")
	other := *b
	other.team, other.user = gatehouse.NewID(), gatehouse.NewID()
	other.record("a", "third")
	all := b.events(gatehouse.EventFilter{After: -1, Ascending: true})
	b.equal(len(all), 3)
	find := func(f gatehouse.EventFilter) []int64 {
		f.After, f.Ascending = -1, true
		return indexes(b.events(f))
	}
	b.equal(find(gatehouse.EventFilter{TeamID: b.team}), []int64{0, 1})
	b.equal(find(gatehouse.EventFilter{UserID: other.user}), []int64{2})
	b.equal(find(gatehouse.EventFilter{TeamID: b.team, UserID: other.user}), []int64(nil))
	b.equal(find(gatehouse.EventFilter{TeamID: b.team, EventID: all[1].ID}), []int64{1})
	b.equal(find(gatehouse.EventFilter{TeamID: b.team, EventID: all[2].ID}), []int64(nil))
	b.equal(find(gatehouse.EventFilter{Action: "a"}), []int64{0, 2})
	b.equal(find(gatehouse.EventFilter{Action: "a", TeamID: b.team, Query: "first"}), []int64{0})
	b.equal(find(gatehouse.EventFilter{Action: "a", EventID: all[1].ID}), []int64(nil))
	for _, e := range all { // moments may coincide, so compare with a plain filter
		var from, to []int64
		for _, x := range all {
			if !x.Time.Before(e.Time) {
				from = append(from, x.Index)
			} else {
				to = append(to, x.Index)
			}
		}
		b.equal(find(gatehouse.EventFilter{From: e.Time}), from)
		b.equal(find(gatehouse.EventFilter{To: e.Time}), to)
		b.equal(find(gatehouse.EventFilter{From: e.Time, To: e.Time}), []int64(nil))
	}
}

func eventWords(b *bench) {
	for _, d := range []string{
		"API key 'ci-deploy' was created", "API key 'Größe Zürich' was created", "Model grok-4.3 was deleted", "Zebra crossing",
	} {
		b.record("x", d)
	}
	for q, want := range map[string][]int64{
		"created":         {0, 1},
		"CREATED key":     {0, 1},
		"creat":           {0, 1},
		"key ci":          {0},
		"ci-deploy":       {0},
		"gröss":           nil,
		"GRÖ":             {1},
		"gr":              {1, 2},
		"zür":             {1},
		"z":               {1, 3},
		"zz":              nil,
		"4.3":             {2},
		"created deleted": nil,
		"eated":           nil,
		"…!":              nil,
	} {
		got := indexes(b.events(gatehouse.EventFilter{TeamID: b.team, Query: q, After: -1, Ascending: true}))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			b.Errorf("%q found %v, want %v", q, got, want)
		}
	}
}

func eventQueriesAreWords(b *bench) {
	b.record("x", "one AND two NEAR three")
	other := gatehouse.NewID()
	for _, q := range []string{
		`"`, `'`, `one"`, `one OR nothing`, `NOT one`, `words:one`, `one*`, `(one`, `^one`, `one -two`, `%`, `_`, `one' OR 1=1 --`, "\x00one", "one\xff",
		`NEAR(one two)`, `{words} : one`, `+`,
	} {
		for _, team := range []gatehouse.ID{b.team, other} {
			for _, e := range b.events(gatehouse.EventFilter{TeamID: team, Query: q, After: -1}) {
				b.equal(e.TeamID, team)
			}
		}
	}
	find := func(q string) int { return len(b.events(gatehouse.EventFilter{TeamID: b.team, Query: q, After: -1})) }
	b.equal(find("one AND"), 1) // words like any other
	b.equal(find("one OR"), 0)
	b.equal(find("%"), 0)
}

func checkpointKept(b *bench) {
	b.view(func(v store.View) error {
		note, err := v.Checkpoint()
		b.equal(len(note), 0)
		return err
	})
	b.work(func(w store.Work) error {
		b.ok(w.PutCheckpoint(2, []byte("two")))
		return w.PutCheckpoint(1, []byte("one"))
	})
	b.view(func(v store.View) error {
		note, err := v.Checkpoint()
		b.equal(string(note), "two")
		return err
	})
}
