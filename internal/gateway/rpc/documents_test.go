package rpc

import (
	"math"
	"testing"

	"google.golang.org/grpc/codes"

	"gatehouse/gen/xai"
)

func TestSearchIsARequestOfItsRoute(t *testing.T) {
	var asked string
	conn := before(t, says(&asked, `{"matches":[{"file_id":"file_1","chunk_id":"c","chunk_content":"text","score":0.5,"collection_ids":["collection_1"],"fields":{"a":"b"},"page_number":2}]}`))
	for in, want := range map[string]string{
		`"limit":3,"instructions":"i"`: `,"limit":3,"instructions":"i"`,
		`"hybridRetrieval":{"searchMultiplier":4,"reciprocalRankFusion":{"k":9,"embeddingWeight":1}}`: `,"retrieval_mode":{"type":"hybrid","search_multiplier":4,"reranker":{"type":"rrf","k":9,"embedding_weight":1,"text_weight":0}}`,
		`"hybridRetrieval":{"reciprocalRankFusion":{}}`:                                               `,"retrieval_mode":{"type":"hybrid","reranker":{"type":"rrf"}}`,
		`"semanticRetrieval":{}`: `,"retrieval_mode":{"type":"semantic"}`,
		`"keywordRetrieval":{}`:  `,"retrieval_mode":{"type":"keyword"}`,
	} {
		got, err := xai.NewDocumentsClient(conn).Search(t.Context(), message(t, &xai.SearchRequest{}, `{"query":"q","source":{"collectionIds":["collection_1"]},`+in+`}`))
		if err != nil {
			t.Fatal(err)
		}
		if want = `POST /v1/documents/search {"query":"q","source":{"collection_ids":["collection_1"]}` + want + `}`; asked != want {
			t.Errorf("asked %s\nwant  %s", asked, want)
		}
		same(t, message(t, &xai.SearchResponse{}, `{"matches":[{"fileId":"file_1","chunkId":"c","chunkContent":"text","score":0.5,"collectionIds":["collection_1"]}]}`), got)
	}
}

func TestWhatASearchCannotHonour(t *testing.T) {
	var asked string
	conn := before(t, says(&asked, `{}`))
	search := func(text string, in string) {
		t.Helper()
		_, err := xai.NewDocumentsClient(conn).Search(t.Context(), message(t, &xai.SearchRequest{}, `{`+in+`}`))
		check(t, err, codes.InvalidArgument, text, false)
	}
	const from = `"query":"q","source":{"collectionIds":["c"]},`
	search("query: is required; source.collection_ids: is required", ``)
	search("hybrid_retrieval.reranker_model: is not offered", from+`"hybridRetrieval":{"rerankerModel":{}}`)
	search("semantic_retrieval.reranker: is not offered", from+`"semanticRetrieval":{"reranker":{}}`)
	search("ranking_metric: is not offered", from+`"rankingMetric":"RANKING_METRIC_L2_DISTANCE"`)
	_, err := xai.NewDocumentsClient(conn).Search(t.Context(), &xai.SearchRequest{Query: "q", Source: &xai.DocumentsSource{CollectionIds: []string{"c"}},
		RetrievalMode: &xai.SearchRequest_HybridRetrieval{HybridRetrieval: &xai.HybridRetrieval{Reranker: &xai.HybridRetrieval_ReciprocalRankFusion{
			ReciprocalRankFusion: &xai.ReciprocalRankFusion{TextWeight: float32(math.NaN())}}}}})
	check(t, err, codes.InvalidArgument, "weights must be finite", false)
}
