package llm

import "strings"

// paths has one path of every route that Classify knows, for documents.
var paths = []string{
	"chat/completions", "responses", "responses/id", "responses/id/cancel", "responses/id/input_items",
	"messages", "messages/count_tokens", "completions", "embeddings", "moderations",
	"images/generations", "images/edits", "audio/speech", "audio/transcriptions", "audio/translations",
	"tokenize-text", "api-key", "me",
	"models", "models/id", "language-models", "language-models/id", "embedding-models", "embedding-models/id",
	"image-generation-models", "image-generation-models/id",
	"files", "files/id", "files/id/content", "files/id/public-url", "files/id/public-url/revoke", "files/public/id", "documents/search",
}

// Routes calls f with every method and route that Classify finds.
func Routes(f func(method string, r Route)) {
	for _, path := range paths {
		r, _ := Classify("", "/v1/"+path)
		for method := range strings.SplitSeq(r.Allow, ", ") {
			r, _ := Classify(method, "/v1/"+path)
			f(method, r)
		}
	}
}

// Faults lists every fault.
func Faults() []Fault {
	out := make([]Fault, numFaults)
	for i := range out {
		out[i] = Fault(i)
	}
	return out
}
