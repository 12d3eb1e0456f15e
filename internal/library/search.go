package library

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse"
	"gatehouse/internal/library/filter"
	"gatehouse/internal/library/index"
	"gatehouse/internal/store"
)

// searching is a search on its way.
type searching struct {
	gatehouse.Search
	who         Asker
	query       index.Query
	collections map[gatehouse.ID]*gatehouse.Collection
}

// Search implements Files. The index proposes, the store disposes: a match whose
// document is not there any more is left out.
func (s *Service) Search(ctx context.Context, who Asker, q gatehouse.Search) ([]gatehouse.SearchMatch, error) {
	r := &searching{Search: q, who: who, collections: map[gatehouse.ID]*gatehouse.Collection{}}
	if err := r.check(); err != nil {
		return nil, first(s.view(ctx, who, gatehouse.EndpointDocuments, func(store.View) error { return nil }), err)
	}
	err := s.view(ctx, who, gatehouse.EndpointDocuments, func(v store.View) error { return s.resolve(v, r) })
	if err != nil {
		return nil, err
	}
	if err := s.embedQuery(ctx, r); err != nil {
		return nil, err
	}
	return s.find(ctx, r)
}

// check judges what can be judged without the store, all at once.
func (r *searching) check() error {
	r.query = index.Query{
		Text: r.Query, Mode: index.Mode(r.Mode), Collections: unique(r.Collections), Limit: r.Limit, Multiplier: r.Multiplier,
		Fusion: index.Fusion{K: r.FusionK, SemanticWeight: r.Weights[0], KeywordWeight: r.Weights[1]},
	}
	var bad gatehouse.Violations
	if strings.TrimSpace(r.Query) == "" {
		bad.Addf("query", "is required")
	}
	for _, f := range [][2]string{{"query", r.Query}, {"instructions", r.Instructions}} {
		if field, text := f[0], f[1]; len(text) > gatehouse.MaxSearchTerms || !utf8.ValidString(text) {
			bad.Addf(field, "must be at most %d bytes of UTF-8", gatehouse.MaxSearchTerms)
		}
	}
	if g := r.Group; g != nil && (len(g.Keys) == 0 || g.Most < 0 || g.Most > index.MaxLimit) {
		bad.Addf("group_by", "needs keys, and k of 1 to %d", index.MaxLimit)
	}
	if err := r.query.Check(); err != nil {
		bad = append(bad, violations(err)...)
	}
	return bad.Err()
}

// resolve finds the collections and what filter and groups may name.
func (s *Service) resolve(v store.View, r *searching) error {
	var keys []string
	for _, id := range r.query.Collections {
		c, err := found(v.Collection(id))
		if err != nil {
			return err
		}
		if c == nil || c.TeamID != r.who.Team {
			return gatehouse.Errorf(gatehouse.NotFound, "Cannot find collection collection_%s", id)
		}
		r.collections[id] = c
		keys = append(keys, keysOf(c)...)
	}
	keys = unique(keys)
	var bad gatehouse.Violations
	narrow, err := filter.Parse("filter", r.Filter, index.Schema(keys...))
	if err != nil {
		bad = append(bad, violations(err)...)
	}
	r.query.Filter = narrow
	if r.Group != nil {
		r.group(keys, &bad)
	}
	return bad.Err()
}

// models are the distinct models of the collections searched.
func (r *searching) models() []string {
	var out []string
	for _, id := range r.query.Collections {
		if m := r.collections[id].Model; m != "" {
			out = append(out, m)
		}
	}
	return unique(out)
}

// embedQuery asks each model once. Where one cannot answer the search fails:
// matches by words alone would look like the whole answer.
func (s *Service) embedQuery(ctx context.Context, r *searching) error {
	models := r.models()
	semantic := r.query.Mode == index.Semantic
	switch {
	case r.query.Mode == index.Keyword:
		return nil
	case semantic && len(models) == 0:
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "none of the collections has a model that embeds: search by keyword")
	case s.Embed == nil && len(models) > 0:
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "this installation embeds nothing any more: search by keyword")
	}
	text := r.Query
	if r.Instructions != "" {
		text = r.Instructions + "\n" + text
	}
	vectors := map[string][]float32{}
	for _, model := range models {
		got, err := s.Embed.Embed(ctx, r.who.Team, model, []string{text})
		if err != nil {
			return err
		}
		if len(got) != 1 || len(got[0]) == 0 {
			return gatehouse.Errorf(gatehouse.Unavailable, "the model %s gave no vector", model)
		}
		vectors[model] = got[0]
	}
	r.query.Vectors = map[gatehouse.ID][]float32{}
	for id, c := range r.collections {
		if v, ok := vectors[c.Model]; ok {
			r.query.Vectors[id] = v
		}
	}
	return nil
}

// find asks the index for somewhat more than is wanted, since some of it may be
// gone, and once for as much as there can be when that was too little.
func (s *Service) find(ctx context.Context, r *searching) ([]gatehouse.SearchMatch, error) {
	want := r.query.Limit
	ask := min(index.MaxLimit, want+max(10, want/2))
	if r.Group != nil && r.query.GroupBy == "" {
		ask = index.MaxLimit // groups are made here, of all that can be had
	}
	for {
		r.query.Limit = ask
		raw, err := s.Index.Search(ctx, r.who.Team, r.query)
		if err != nil {
			return nil, err
		}
		out, err := s.sift(ctx, r, raw)
		if err != nil || len(out) >= want || len(raw) < ask || ask == index.MaxLimit {
			return out[:min(len(out), want)], err
		}
		ask = index.MaxLimit
	}
}

// place is where a document is.
type place struct{ collection, document gatehouse.ID }

// sift keeps what the store knows, says of it what the store says, and groups.
func (s *Service) sift(ctx context.Context, r *searching, raw []index.Match) (out []gatehouse.SearchMatch, err error) {
	docs := map[place]*gatehouse.Document{}
	err = s.view(ctx, r.who, gatehouse.EndpointDocuments, func(v store.View) error {
		clear(docs)
		for _, m := range raw {
			at := place{m.Collection, m.Document}
			if _, known := docs[at]; known || r.collections[m.Collection] == nil {
				continue
			}
			if docs[at], err = s.document(v, r.collections[m.Collection], m.Document); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, m := range raw {
		if d := docs[place{m.Collection, m.Document}]; d != nil && d.TeamID == r.who.Team {
			out = add(out, m, defined(r.collections[m.Collection], d.Fields))
		}
	}
	return r.grouped(out), nil
}

// add appends a match. The same text of the same file in another collection is
// the same match.
func add(out []gatehouse.SearchMatch, m index.Match, fields map[string]string) []gatehouse.SearchMatch {
	for i := range out {
		o := &out[i]
		if o.FileID == m.Document && o.Page == m.Page && o.Text == m.Text && !slices.Contains(o.Collections, m.Collection) {
			o.Collections = append(o.Collections, m.Collection)
			return out
		}
	}
	return append(out, gatehouse.SearchMatch{
		FileID: m.Document, ChunkID: m.ChunkID, Text: m.Text, Score: m.Score, Collections: []gatehouse.ID{m.Collection}, Fields: fields, Page: m.Page,
	})
}

// unique keeps the first of each.
func unique[T comparable](list []T) []T {
	out := make([]T, 0, len(list))
	for _, x := range list {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}
