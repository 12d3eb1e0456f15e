package library

import (
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse"
)

// FuzzQuestion: whatever a search says, it is a question within bounds or a
// refusal that names what is wrong.
func FuzzQuestion(f *testing.F) {
	for _, s := range []string{
		`{"query":"a","source":{"collection_ids":["collection_6b1f7a3e-53a5-4f3c-8d6e-0c7f5b1d2a3c"]}}`,
		`{"query":"a","source":{"collection_ids":["x"]},"limit":5,"retrieval_mode":{"type":"hybrid","search_multiplier":3,"reranker":{"type":"rrf","k":60,"embedding_weight":0.5,"text_weight":0.5}}}`,
		`{"query":"a","source":{"collection_ids":[]},"filter":"a = 1","group_by":{"keys":["file_id"],"aggregate":{"max_k":{"keys":["score"],"k":2}}}}`,
		`{"query":"a","limit":-1,"retrieval_mode":{"semantic":{}},"ranking_metric":"cosine"}`, `{"query":1}`, `[]`, ``, `{"Query":"a"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var in question
		err := decode(httptest.NewRequest("POST", "/v1/documents/search", strings.NewReader(body)), &in, true)
		if err == nil {
			_, err = in.judge()
		}
		if err != nil && (gatehouse.Public(err) == "" || gatehouse.CodeOf(err) == gatehouse.Internal) {
			t.Errorf("%v", err)
		}
	})
}
