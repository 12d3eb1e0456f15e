package library

import (
	"fmt"
	"net/http"

	"gatehouse"
	"gatehouse/internal/library"
)

// question is the body of a search (wire.md §6.10).
type question struct {
	Query  string `json:"query"`
	Source struct {
		Collections []string `json:"collection_ids"`
		Pipeline    string   `json:"rag_pipeline"` // which engine: there is one
	} `json:"source"`
	Limit        *int      `json:"limit"`
	Instructions string    `json:"instructions"`
	Filter       string    `json:"filter"`
	Group        *grouping `json:"group_by"`
	Mode         *mode     `json:"retrieval_mode"`
	Metric       string    `json:"ranking_metric"` // deprecated: the collection has one
}

type grouping struct {
	Keys      []string `json:"keys"`
	Aggregate *struct {
		Min *extreme `json:"min_k"`
		Max *extreme `json:"max_k"`
	} `json:"aggregate"`
}

type extreme struct {
	Keys []string `json:"keys"`
	K    *int     `json:"k"`
}

// mode says how to search, by a type or by a member of that name.
type mode struct {
	Type       string    `json:"type"`
	Multiplier *int      `json:"search_multiplier"`
	Reranker   *reranker `json:"reranker"`
	Hybrid     *hybrid   `json:"hybrid"`
	Semantic   *struct{} `json:"semantic"`
	Keyword    *struct{} `json:"keyword"`
}

type hybrid struct {
	Multiplier *int      `json:"search_multiplier"`
	Reranker   *reranker `json:"reranker"`
}

// reranker says how the two lists of a hybrid search become one.
type reranker struct {
	Type         string   `json:"type"`
	Model        string   `json:"model"`
	Instructions string   `json:"instructions"`
	K            *float64 `json:"k"`
	Embedding    *float64 `json:"embedding_weight"`
	Text         *float64 `json:"text_weight"`
}

type match struct {
	File        string            `json:"file_id"`
	Chunk       string            `json:"chunk_id"`
	Content     string            `json:"chunk_content"`
	Score       float64           `json:"score"`
	Collections []string          `json:"collection_ids"`
	Fields      map[string]string `json:"fields"`
	Page        int               `json:"page_number,omitempty"`
}

func (f *face) search(w http.ResponseWriter, r *http.Request, who library.Asker) error {
	var in question
	if err := decode(r, &in, true); err != nil {
		return err
	}
	q, err := in.judge()
	if err != nil {
		return err
	}
	found, err := f.Library.Search(r.Context(), who, q)
	if err != nil {
		return err
	}
	out := make([]match, len(found))
	for i := range found {
		out[i] = shown(&found[i])
	}
	reply(w, http.StatusOK, map[string][]match{"matches": out})
	return nil
}

func shown(m *gatehouse.SearchMatch) match {
	out := match{
		File: fileID(m.FileID), Chunk: m.ChunkID.String(), Content: m.Text, Score: m.Score, Fields: m.Fields, Page: m.Page,
		Collections: make([]string, len(m.Collections)),
	}
	for i, id := range m.Collections {
		out.Collections[i] = "collection_" + id.String()
	}
	if out.Fields == nil {
		out.Fields = map[string]string{}
	}
	return out
}

// judge is the search that was asked for. What a search may be at most is the
// library's to say.
func (in *question) judge() (gatehouse.Search, error) {
	var bad gatehouse.Violations
	q := gatehouse.Search{Query: in.Query, Filter: in.Filter, Instructions: in.Instructions}
	if in.Query == "" {
		bad.Addf("query", "is required")
	}
	if len(in.Source.Collections) == 0 {
		bad.Addf("source.collection_ids", "is required")
	}
	for i, text := range in.Source.Collections {
		id, err := gatehouse.ParseID(text)
		if err != nil {
			bad.Addf(fmt.Sprintf("source.collection_ids[%d]", i), "is the id of a collection")
		}
		q.Collections = append(q.Collections, id)
	}
	if p := in.Source.Pipeline; p != "" && p != "chroma_db" && p != "es" {
		bad.Addf("source.rag_pipeline", "is chroma_db or es, and chooses nothing here")
	}
	if in.Limit != nil {
		if q.Limit = *in.Limit; q.Limit < 1 {
			bad.Addf("limit", "is at least 1")
		}
	}
	in.Mode.judge(&q, &bad)
	in.Group.judge(&q, &bad)
	return q, bad.Err()
}

// judge reads the mode, in either spelling and in one of them.
func (m *mode) judge(q *gatehouse.Search, bad *gatehouse.Violations) {
	if m == nil {
		return
	}
	named, h := m.named()
	if m.Type != "" {
		named = append(named, m.Type)
	}
	switch {
	case len(named) != 1 || named[0] != "hybrid" && named[0] != "semantic" && named[0] != "keyword":
		bad.Addf("retrieval_mode", "is one of hybrid, semantic and keyword, as its type or as its only member")
		return
	case m.Type == "" && (m.Multiplier != nil || m.Reranker != nil):
		bad.Addf("retrieval_mode", "has search_multiplier and reranker inside hybrid")
		return
	case m.Type != "":
		h = &hybrid{m.Multiplier, m.Reranker}
	}
	if q.Mode = named[0]; h != nil {
		h.judge(q, bad)
	}
}

func (m *mode) named() (names []string, h *hybrid) {
	if m.Hybrid != nil {
		names, h = append(names, "hybrid"), m.Hybrid
	}
	if m.Semantic != nil {
		names = append(names, "semantic")
	}
	if m.Keyword != nil {
		names = append(names, "keyword")
	}
	return names, h
}

func (h *hybrid) judge(q *gatehouse.Search, bad *gatehouse.Violations) {
	if q.Mode != "hybrid" && (h.Multiplier != nil || h.Reranker != nil) {
		bad.Addf("retrieval_mode", "has search_multiplier and reranker for hybrid alone")
		return
	}
	if h.Multiplier != nil {
		if q.Multiplier = *h.Multiplier; q.Multiplier < 1 || q.Multiplier > 100 {
			bad.Addf("retrieval_mode.search_multiplier", "is 1 to 100")
		}
	}
	r := h.Reranker
	if r == nil {
		return
	}
	if r.Type != "" && r.Type != "rrf" || r.Model != "" || r.Instructions != "" {
		bad.Addf("retrieval_mode.reranker", "of a model is not offered here; use rrf")
		return
	}
	r.fuse(q, bad)
}

// fuse reads how the lists are fused. A weight alone leaves the other at its half.
func (r *reranker) fuse(q *gatehouse.Search, bad *gatehouse.Violations) {
	if r.K != nil {
		if q.FusionK = *r.K; !(q.FusionK > 0) {
			bad.Addf("retrieval_mode.reranker.k", "is above 0")
		}
	}
	if r.Embedding == nil && r.Text == nil {
		return
	}
	q.Weights = [2]float64{0.5, 0.5}
	for i, w := range []*float64{r.Embedding, r.Text} {
		if w != nil {
			q.Weights[i] = *w
		}
	}
	if !(q.Weights[0] >= 0 && q.Weights[1] >= 0 && q.Weights[0]+q.Weights[1] > 0) {
		bad.Addf("retrieval_mode.reranker", "has weights that are not below 0, and not both 0")
	}
}

func (g *grouping) judge(q *gatehouse.Search, bad *gatehouse.Violations) {
	if g == nil {
		return
	}
	q.Group = &gatehouse.SearchGroup{Keys: g.Keys}
	if len(g.Keys) == 0 {
		bad.Addf("group_by.keys", "is required")
	}
	if g.Aggregate == nil {
		return
	}
	most := g.Aggregate.Max
	switch {
	case g.Aggregate.Min != nil && most != nil:
		bad.Addf("group_by.aggregate", "has min_k or max_k, not both")
	case g.Aggregate.Min != nil:
		q.Group.Min, most = true, g.Aggregate.Min
	}
	if most == nil {
		return
	}
	q.Group.By = most.Keys
	if most.K != nil {
		if q.Group.Most = *most.K; q.Group.Most < 1 {
			bad.Addf("group_by.aggregate", "keeps at least 1")
		}
	}
}
