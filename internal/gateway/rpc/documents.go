package rpc

import (
	"net/http"

	"google.golang.org/protobuf/proto"

	"gatehouse/gen/xai"
)

var documents = service{"Documents", []method{{
	name: "Search", verb: http.MethodPost, path: "/v1/documents/search",
	message: func() proto.Message { return &xai.SearchRequest{} },
	body:    func(in proto.Message) ([]byte, error) { return searchBody(in.(*xai.SearchRequest)) },
	whole:   whole(matched),
}}}

// search is the body of /v1/documents/search.
type search struct {
	Query  string `json:"query"`
	Source struct {
		Collections []string `json:"collection_ids"`
	} `json:"source"`
	Limit        *int32     `json:"limit,omitempty"`
	Instructions *string    `json:"instructions,omitempty"`
	Mode         *retrieval `json:"retrieval_mode,omitempty"`
}

type retrieval struct {
	Type       string  `json:"type"`
	Multiplier *int32  `json:"search_multiplier,omitempty"`
	Reranker   *fusion `json:"reranker,omitempty"`
}

type fusion struct {
	Type      string   `json:"type"`
	K         *int32   `json:"k,omitempty"`
	Embedding *float32 `json:"embedding_weight,omitempty"`
	Text      *float32 `json:"text_weight,omitempty"`
}

func searchBody(in *xai.SearchRequest) ([]byte, error) {
	var bad problems
	out := search{Query: in.Query, Limit: in.Limit, Instructions: in.Instructions}
	out.Source.Collections = in.GetSource().GetCollectionIds()
	if out.Query == "" {
		bad.addf("query", "is required")
	}
	if len(out.Source.Collections) == 0 {
		bad.addf("source.collection_ids", "is required")
	}
	switch m := in.RetrievalMode.(type) {
	case *xai.SearchRequest_HybridRetrieval:
		out.Mode = &retrieval{"hybrid", m.HybridRetrieval.SearchMultiplier, fused(m.HybridRetrieval.GetReciprocalRankFusion(), &bad)}
	case *xai.SearchRequest_SemanticRetrieval:
		out.Mode = &retrieval{Type: "semantic"}
	case *xai.SearchRequest_KeywordRetrieval:
		out.Mode = &retrieval{Type: "keyword"}
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	return encode(out)
}

// fused says how two rankings become one. Weights that are both zero are the
// defaults: these fields cannot be left out.
func fused(in *xai.ReciprocalRankFusion, bad *problems) *fusion {
	if in == nil {
		return nil
	}
	out := &fusion{Type: "rrf", K: in.K}
	e, t := in.EmbeddingWeight, in.TextWeight
	if e-e != 0 || t-t != 0 { // NaN and the infinities
		bad.addf("hybrid_retrieval.reciprocal_rank_fusion", "weights must be finite numbers")
	} else if e != 0 || t != 0 {
		out.Embedding, out.Text = &e, &t
	}
	return out
}

type matches struct {
	Matches []struct {
		File        string   `json:"file_id"`
		Chunk       string   `json:"chunk_id"`
		Content     string   `json:"chunk_content"`
		Score       float32  `json:"score"`
		Collections []string `json:"collection_ids"`
	} `json:"matches"`
}

func matched(in *matches) (proto.Message, error) {
	out := &xai.SearchResponse{}
	for _, m := range in.Matches {
		out.Matches = append(out.Matches, &xai.SearchMatch{
			FileId: m.File, ChunkId: m.Chunk, ChunkContent: m.Content, Score: m.Score, CollectionIds: m.Collections,
		})
	}
	return out, nil
}
