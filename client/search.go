package client

import (
	"context"
	"net/http"

	"gatehouse"
)

// searchRequest is the body of /v1/documents/search.
type searchRequest struct {
	Query  string `json:"query"`
	Source struct {
		Collections []string `json:"collection_ids"`
	} `json:"source"`
	Limit        int        `json:"limit,omitempty"`
	Filter       string     `json:"filter,omitempty"`
	Instructions string     `json:"instructions,omitempty"`
	Mode         *retrieval `json:"retrieval_mode,omitempty"`
	Group        *group     `json:"group_by,omitempty"`
}

type retrieval struct {
	Type       string  `json:"type"`
	Multiplier int     `json:"search_multiplier,omitempty"`
	Reranker   *fusion `json:"reranker,omitempty"`
}

type fusion struct {
	Type      string   `json:"type"`
	K         float64  `json:"k,omitempty"`
	Embedding *float64 `json:"embedding_weight,omitempty"`
	Text      *float64 `json:"text_weight,omitempty"`
}

type group struct {
	Keys      []string             `json:"keys"`
	Aggregate map[string]*extremes `json:"aggregate,omitempty"` // by max_k or min_k
}

type extremes struct {
	Keys []string `json:"keys"`
	K    int      `json:"k"`
}

// SearchDocuments finds chunks in collections of the key's team, best first.
func (f *Files) SearchDocuments(ctx context.Context, q gatehouse.Search) ([]gatehouse.SearchMatch, error) {
	in := searchRequest{Query: q.Query, Limit: q.Limit, Filter: q.Filter, Instructions: q.Instructions, Mode: retrievalOf(q), Group: groupOf(q.Group)}
	in.Source.Collections = each(q.Collections, func(id gatehouse.ID) string { return "collection_" + id.String() })
	var out struct {
		Matches []struct {
			File        gatehouse.ID      `json:"file_id"`
			Chunk       gatehouse.ID      `json:"chunk_id"`
			Content     string            `json:"chunk_content"`
			Score       float64           `json:"score"`
			Collections []gatehouse.ID    `json:"collection_ids"`
			Fields      map[string]string `json:"fields"`
			Page        int               `json:"page_number"`
		} `json:"matches"`
	}
	if err := f.do(ctx, ask{method: http.MethodPost, path: searchPath, json: in}, &out); err != nil {
		return nil, err
	}
	matches := make([]gatehouse.SearchMatch, len(out.Matches))
	for i, m := range out.Matches {
		matches[i] = gatehouse.SearchMatch{
			FileID: m.File, ChunkID: m.Chunk, Text: m.Content, Score: m.Score, Collections: m.Collections, Fields: m.Fields, Page: m.Page,
		}
	}
	return matches, nil
}

// retrievalOf is how to look; nil is the gateway's own way.
func retrievalOf(q gatehouse.Search) *retrieval {
	fused := q.FusionK != 0 || q.Weights != [2]float64{}
	if q.Mode == "" && q.Multiplier == 0 && !fused {
		return nil
	}
	out := &retrieval{Type: q.Mode, Multiplier: q.Multiplier}
	if out.Type == "" {
		out.Type = "hybrid"
	}
	if fused {
		out.Reranker = &fusion{Type: "rrf", K: q.FusionK}
		if q.Weights != [2]float64{} {
			out.Reranker.Embedding, out.Reranker.Text = &q.Weights[0], &q.Weights[1]
		}
	}
	return out
}

func groupOf(g *gatehouse.SearchGroup) *group {
	if g == nil {
		return nil
	}
	name := "max_k"
	if g.Min {
		name = "min_k"
	}
	by := g.By
	if len(by) == 0 {
		by = []string{"score"}
	}
	return &group{Keys: g.Keys, Aggregate: map[string]*extremes{name: {Keys: by, K: max(g.Most, 1)}}}
}
