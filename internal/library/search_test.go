package library

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/library/index"
	"gatehouse/internal/store"
)

// stocked is a reading room with documents that were indexed.
func stocked(t *testing.T) (r *readingRoom, one, two *gatehouse.Collection) {
	r = newReadingRoom(t, nil)
	one = r.shelf(gatehouse.FieldDefinition{Key: "year"}, gatehouse.FieldDefinition{Key: "by"})
	two = r.shelf(gatehouse.FieldDefinition{Key: "year"})
	for i, who := range []string{"kim", "kim", "lee"} {
		r.must(fail(r.place(one, fmt.Sprintf("d%d", i), fmt.Sprintf("ants and bees %d", i), map[string]string{"year": fmt.Sprint(2000 + i), "by": who})))
	}
	r.must(fail(r.place(two, "other", "ants elsewhere", nil)))
	r.drain()
	return r, one, two
}

func (r *readingRoom) ask(q gatehouse.Search) []gatehouse.SearchMatch {
	r.Helper()
	setDefault(&q.Query, "ants")
	out, err := r.Search(r.ctx, r.who, q)
	r.must(err)
	return out
}

func TestSearchFindsWhatIsThere(t *testing.T) {
	r, one, two := stocked(t)
	got := r.ask(gatehouse.Search{Collections: []gatehouse.ID{one.ID, one.ID, two.ID}})
	if texts := sortedTexts(got); !slices.Equal(texts, []string{"ants and bees 0", "ants and bees 1", "ants and bees 2", "ants elsewhere"}) {
		t.Errorf("%q", texts)
	}
	for _, m := range got {
		if m.ChunkID.IsZero() || m.Score <= 0 || len(m.Collections) != 1 || m.Collections[0] == one.ID && m.Fields["by"] == "" {
			t.Errorf("%+v", m)
		}
	}
	if got := r.ask(gatehouse.Search{Collections: []gatehouse.ID{one.ID, two.ID}, Limit: 2}); len(got) != 2 {
		t.Errorf("%d matches for 2", len(got))
	}
	if got := r.ask(gatehouse.Search{Collections: []gatehouse.ID{one.ID}, Filter: "year:2001..2002 AND by!=lee"}); len(got) != 1 || got[0].Fields["year"] != "2001" {
		t.Errorf("%+v", got)
	}
}

// The index lags behind; what the store does not know is not shown.
func TestSearchShowsNothingThatIsGone(t *testing.T) {
	r, one, two := stocked(t)
	both := gatehouse.Search{Collections: []gatehouse.ID{one.ID, two.ID}}
	gone := r.ask(gatehouse.Search{Collections: []gatehouse.ID{one.ID}})[0].FileID
	r.must(r.DeleteFile(r.ctx, r.who, gone))
	if left := r.ask(both); len(left) != 3 || slices.ContainsFunc(left, func(m gatehouse.SearchMatch) bool { return m.FileID == gone }) {
		t.Error("a deleted file is found")
	}
	r.must(fail(r.alter(one, gatehouse.CollectionUpdate{RemoveFields: []string{"by"}})))
	for _, m := range r.ask(both) {
		if m.Fields["by"] != "" {
			t.Error("a removed field is shown")
		}
	}
	r.want(gatehouse.InvalidArgument, fail(r.Search(r.ctx, r.who, gatehouse.Search{Query: "ants", Collections: both.Collections, Filter: "by=kim"})), "filter", `unknown field "by"`)
	r.must(r.do(func(tx store.Tx) error { return r.DeleteCollection(tx, one, r.act("collection.deleted")) }))
	r.want(gatehouse.NotFound, fail(r.Search(r.ctx, r.who, gatehouse.Search{Query: "ants", Collections: both.Collections})), one.ID.String())
	f, err := r.UploadFile(r.ctx, r.who, gatehouse.NewFile{Name: "brief", Content: strings.NewReader("ants for an hour"), Life: time.Hour})
	r.must(err)
	r.must(fail(r.add(two, f.ID, nil)))
	r.drain()
	was := len(r.ask(gatehouse.Search{Collections: []gatehouse.ID{two.ID}}))
	r.pass(time.Hour)
	if now := len(r.ask(gatehouse.Search{Collections: []gatehouse.ID{two.ID}})); was != 2 || now != 1 {
		t.Errorf("%d matches, and %d when one had expired", was, now)
	}
}

func TestASearchNamesEverythingThatIsWrong(t *testing.T) {
	r, one, _ := stocked(t)
	_, err := r.Search(r.ctx, r.who, gatehouse.Search{Limit: -1, Mode: "guess", Multiplier: 101, Instructions: strings.Repeat("x", 5000), Group: &gatehouse.SearchGroup{}})
	r.want(gatehouse.InvalidArgument, err, "query", "limit", "retrieval_mode", "search_multiplier", "collection_ids", "instructions", "group_by")
	_, err = r.Search(r.ctx, r.who, gatehouse.Search{Query: "x", Collections: []gatehouse.ID{one.ID}, Filter: "colour=red", Group: &gatehouse.SearchGroup{Keys: []string{"fields.size"}, By: []string{"weight"}}})
	r.want(gatehouse.InvalidArgument, err, "filter", `"colour"`, "group_by.keys", `"fields.size"`, "group_by.aggregate.keys", "year")
	other := r.enter(gatehouse.NewID())
	foreign := fail(r.Search(r.ctx, other, gatehouse.Search{Query: "ants", Collections: []gatehouse.ID{one.ID}}))
	r.want(gatehouse.NotFound, foreign, one.ID.String())
}

func TestTheSameTextInTwoCollectionsIsOneMatch(t *testing.T) {
	r, one, two := stocked(t)
	f := r.send("shared", "ants are shared")
	for _, c := range []*gatehouse.Collection{one, two} {
		r.must(fail(r.add(c, f.ID, nil)))
	}
	r.drain()
	got := r.ask(gatehouse.Search{Query: "shared", Collections: []gatehouse.ID{one.ID, two.ID}})
	if len(got) != 1 || len(got[0].Collections) != 2 || got[0].FileID != f.ID {
		t.Errorf("%+v", got)
	}
}

func TestGroupsKeepTheirExtremes(t *testing.T) {
	r, one, two := stocked(t)
	years := func(g gatehouse.SearchGroup) (out []string) {
		for _, m := range r.ask(gatehouse.Search{Collections: []gatehouse.ID{one.ID}, Group: &g}) {
			out = append(out, m.Fields["year"])
		}
		slices.Sort(out)
		return out
	}
	for _, c := range []struct {
		group gatehouse.SearchGroup
		want  string
	}{
		{gatehouse.SearchGroup{Keys: []string{"by"}, By: []string{"year"}}, "2001 2002"},
		{gatehouse.SearchGroup{Keys: []string{"fields.by"}, By: []string{"fields.year"}, Min: true}, "2000 2002"},
		{gatehouse.SearchGroup{Keys: []string{"by"}, Most: 2}, "2000 2001 2002"},
		{gatehouse.SearchGroup{Keys: []string{"by", "year"}, By: []string{"year"}}, "2000 2001 2002"},
		{gatehouse.SearchGroup{Keys: []string{index.ByDocument}}, "2000 2001 2002"},
	} {
		if got := strings.Join(years(c.group), " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.group, got, c.want)
		}
	}
	if got := years(gatehouse.SearchGroup{Keys: []string{"by"}}); len(got) != 2 || got[1] != "2002" {
		t.Errorf("the best of each: %v", got)
	}
	all := r.ask(gatehouse.Search{Collections: []gatehouse.ID{one.ID, two.ID}, Group: &gatehouse.SearchGroup{Keys: []string{"by"}, Min: true}})
	if len(all) != 3 {
		t.Errorf("a document without the key is a group of its own: %d", len(all))
	}
}

// Where the model cannot answer, matches by words alone would look like the
// whole answer.
func TestASearchFailsWithItsModel(t *testing.T) {
	l := &letters{dimension: 3}
	r := newReadingRoom(t, func(c *Config) { c.Embed = l })
	words := r.shelf()
	named := r.collect(func(c *gatehouse.Collection) { c.Model = "m" })
	same := r.collect(func(c *gatehouse.Collection) { c.Model = "m" })
	for _, c := range []*gatehouse.Collection{words, named, same} {
		r.must(fail(r.place(c, "a", "abacus", nil)))
	}
	r.drain()
	before := l.calls
	if got := r.ask(gatehouse.Search{Query: "aaa", Instructions: "find", Collections: []gatehouse.ID{words.ID, named.ID, same.ID}}); len(got) != 2 || l.calls != before+1 {
		t.Errorf("%d matches by meaning, %d calls", len(got), l.calls-before)
	}
	r.want(gatehouse.FailedPrecondition, fail(r.Search(r.ctx, r.who, gatehouse.Search{Query: "aaa", Mode: "semantic", Collections: []gatehouse.ID{words.ID}})), "keyword")
	l.err = func(int) error { return gatehouse.Errorf(gatehouse.Unavailable, "no upstream") }
	r.want(gatehouse.Unavailable, fail(r.Search(r.ctx, r.who, gatehouse.Search{Query: "abacus", Collections: []gatehouse.ID{named.ID}})))
	if got := r.ask(gatehouse.Search{Query: "abacus", Mode: "keyword", Collections: []gatehouse.ID{named.ID}}); len(got) != 1 {
		t.Error("a search by words needs the model")
	}
}
