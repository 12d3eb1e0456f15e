package llm

import (
	"net/http"
	"testing"

	"gatehouse"
)

func TestEveryRouteOfTheContractIsKnown(t *testing.T) {
	for _, c := range []struct {
		line, endpoint, suffix, id string
		op                         Op
		metered, local             bool
	}{
		{"POST /v1/chat/completions", "chat", "/chat/completions", "", Create, true, false},
		{"POST /v1/responses", "chat", "/responses", "", Create, true, false},
		{"GET /v1/responses/resp_1", "chat", "/responses/resp_1", "resp_1", Get, false, false},
		{"DELETE /v1/responses/resp_1", "chat", "/responses/resp_1", "resp_1", Delete, false, false},
		{"POST /v1/responses/resp_1/cancel", "chat", "/responses/resp_1/cancel", "resp_1", Cancel, false, false},
		{"GET /v1/responses/resp_1/input_items", "chat", "/responses/resp_1/input_items", "resp_1", InputItems, false, false},
		{"POST /v1/messages", "chat", "/messages", "", Create, true, false},
		{"POST /v1/messages/count_tokens", "chat", "/messages/count_tokens", "", CountTokens, false, false},
		{"POST /v1/completions", "sample", "/completions", "", Create, true, false},
		{"POST /v1/embeddings", "embed", "/embeddings", "", Create, true, false},
		{"POST /v1/images/generations", "image", "/images/generations", "", Create, true, false},
		{"POST /v1/images/edits", "image", "/images/edits", "", Create, true, false},
		{"POST /v1/audio/speech", "voice", "/audio/speech", "", Create, true, false},
		{"POST /v1/audio/transcriptions", "voice", "/audio/transcriptions", "", Create, true, false},
		{"POST /v1/audio/translations", "voice", "/audio/translations", "", Create, true, false},
		{"POST /v1/moderations", "moderation", "/moderations", "", Create, true, false},
		{"POST /v1/tokenize-text", "tokenize", "", "", Tokenize, false, true},
		{"GET /v1/models", "models", "", "", ListModels, false, true},
		{"GET /v1/models/org/name:1", "models", "", "org/name:1", GetModel, false, true},
		{"GET /v1/models/org%2Fname", "models", "", "org/name", GetModel, false, true},
		{"GET /v1/language-models", "models", "", "", ListModels, false, true},
		{"GET /v1/embedding-models/v1", "models", "", "v1", GetModel, false, true},
		{"GET /v1/image-generation-models", "models", "", "", ListModels, false, true},
		{"GET /v1/api-key", "", "", "", APIKey, false, true},
		{"GET /v1/me", "", "", "", Me, false, true},
		{"POST /v1/files", "files", "", "", Library, true, true},
		{"GET /v1/files", "files", "", "", Library, false, true},
		{"GET /v1/files/file_1", "files", "", "", Library, false, true},
		{"PUT /v1/files/file_1", "files", "", "", Library, false, true},
		{"DELETE /v1/files/file_1", "files", "", "", Library, false, true},
		{"GET /v1/files/file_1/content", "files", "", "", Library, true, true},
		{"POST /v1/files/file_1/public-url", "files", "", "", Library, false, true},
		{"POST /v1/files/file_1/public-url/revoke", "files", "", "", Library, false, true},
		{"GET /v1/files/public/gthl_1", "", "", "", Library, false, true},
		{"POST /v1/documents/search", "documents", "", "", Library, true, true},
	} {
		method, path := cutLine(c.line)
		r, m := Classify(method, path)
		if m != Found || r.Endpoint != c.endpoint || r.Suffix != c.suffix || r.ObjectID != c.id || r.Op != c.op ||
			r.Metered != c.metered || r.Local != c.local || r.Path == "" {
			t.Errorf("%s: %v %+v", c.line, m, r)
		}
		if r.Endpoint != "" && !(gatehouse.ACL{gatehouse.EndpointACL(r.Endpoint)}).AllowsEndpoint(r.Endpoint) {
			t.Errorf("%s: no ACL names %q", c.line, r.Endpoint)
		}
		if r, m := Classify("PATCH", path); m != WrongMethod || r.Allow == "" {
			t.Errorf("PATCH %s: %v %+v", path, m, r)
		}
	}
}

func cutLine(line string) (method, path string) {
	for i := range line {
		if line[i] == ' ' {
			return line[:i], line[i+1:]
		}
	}
	return "", line
}

func TestPathsThatCouldMeanTwoThingsAreNoRoute(t *testing.T) {
	for _, path := range []string{
		"", "/", "/v1", "/v1/", "/v1//chat/completions", "//v1/chat/completions", "/v1/chat/completions/", "/v1/chat//completions",
		"/v1/chat/../chat/completions", "/v1/chat%2Fcompletions", "/v1/chat/completion%73", "/V1/chat/completions", "/v1/Chat/completions",
		"/v1/responses/", "/v1/responses/..", "/v1/responses/a/b", "/v1/responses/a/cancel/", "/v1/responses/a%2fcancel",
		"/v1/responses/%2e%2e", "/v1/responses/a/../b", "/v1/responses/a;b", "/v1/models/", "/v1/models/%zz", "/v1/models/a%00b",
		"/v1/files/", "/v1/files:initialize", "/v1/files/file_1:uploadChunks", "/v1/files/a/content/", "/v1/files/a%2fcontent", "/v1/files/public/", "/v1/files/public/a/b",
		"/v1/files/a/other", "/v1/documents", "/v1/documents/search/", "/v1/unknown", "/v1/messages/batches", "/v2/models", "/v1/me/x", "/v1/tokenize-text/x",
	} {
		if r, m := Classify("POST", path); m != NoRoute {
			t.Errorf("%s: %v %+v", path, m, r)
		}
	}
	if r, _ := Classify("POST", "/v1/messages/batches"); r.Style != StyleAnthropic {
		t.Error("Anthropic's SDKs must be able to read a 404 below their route")
	}
}

// Only an upload takes a form, and only a public link passes without a key.
func TestRoutesOfFilesTakeWhatTheyMust(t *testing.T) {
	Routes(func(method string, r Route) {
		if upload := method == "POST" && r.Path == "/v1/files"; r.Op == Library && r.Multipart != upload {
			t.Errorf("%s %+v", method, r)
		}
		if r.Public != (r.Path == "/v1/files/public/{token}") || r.Inlines && r.Endpoint != gatehouse.EndpointChat {
			t.Errorf("%s %+v", method, r)
		}
	})
	for _, line := range []string{"DELETE /v1/files/public/x", "PUT /v1/files", "GET /v1/documents/search", "HEAD /v1/files/a/content"} {
		if r, m := Classify(cutLine(line)); m != WrongMethod {
			t.Errorf("%s: %v %+v", line, m, r)
		}
	}
}

func TestHotRoutesAllocateNothing(t *testing.T) {
	for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"} {
		if n := testing.AllocsPerRun(100, func() { Classify("POST", path) }); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range []string{"/v1/responses/a/cancel", "/v1/models/a%2fb", "/v1/chat/completions"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			r, m := Classify(method, path)
			if m == Found && !r.Local && "/v1"+r.Suffix != path {
				t.Fatalf("%q is forwarded as %q", path, r.Suffix)
			}
		}
	})
}

func TestCredentialIsReadFromEveryHeaderAndNeverFromTwo(t *testing.T) {
	for _, c := range []struct {
		h    http.Header
		want string
		code gatehouse.Code
	}{
		{http.Header{"Authorization": {"Bearer k1"}}, "k1", ""},
		{http.Header{"Authorization": {"bearer  k1"}}, "k1", ""},
		{http.Header{"X-Api-Key": {"k1"}}, "k1", ""},
		{http.Header{"Api-Key": {"k1"}}, "k1", ""},
		{http.Header{"Authorization": {"Bearer k1"}, "X-Api-Key": {"k1"}}, "k1", ""},
		{http.Header{"Authorization": {"Bearer k1"}, "X-Api-Key": {""}}, "k1", ""},
		{http.Header{"Authorization": {"Bearer k1"}, "X-Api-Key": {"k2"}}, "", gatehouse.InvalidArgument},
		{http.Header{"Authorization": {"Bearer k1", "Bearer k2"}}, "", gatehouse.InvalidArgument},
		{http.Header{"X-Api-Key": {"k1"}, "Api-Key": {"k2"}}, "", gatehouse.InvalidArgument},
		{http.Header{"Authorization": {"Basic k1"}}, "", gatehouse.Unauthenticated},
		{http.Header{"Authorization": {"Bearer "}}, "", gatehouse.Unauthenticated},
		{http.Header{}, "", gatehouse.Unauthenticated},
	} {
		got, err := Credential(c.h)
		if got != c.want || gatehouse.CodeOf(err) != c.code {
			t.Errorf("%v: %q %v", c.h, got, err)
		}
	}
}

func TestOnlyListedHeadersPass(t *testing.T) {
	src := http.Header{
		"Authorization": {"Bearer s"}, "X-Api-Key": {"s"}, "Api-Key": {"s"}, "Cookie": {"s"}, "Openai-Organization": {"s"},
		"Openai-Project": {"s"}, "X-Forwarded-For": {"s"}, "Accept-Encoding": {"br"}, "Host": {"s"}, "X-Novel": {"s"},
		"Content-Type": {"application/json"}, "Anthropic-Version": {"2023-06-01"}, "Anthropic-Beta": {"a", "b"},
		"Openai-Beta": {"x"}, "X-Grok-Conv-Id": {"c"}, "Connection": {"close, OpenAI-Beta"},
	}
	dst := http.Header{}
	ForwardRequest(dst, src)
	if len(dst) != 4 || len(dst["Anthropic-Beta"]) != 2 || dst["Openai-Beta"] != nil {
		t.Errorf("%v", dst)
	}
	dst = http.Header{}
	EachReturned(http.Header{"Set-Cookie": {"s"}, "Openai-Organization": {"acme"}, "Content-Type": {"x"}, "X-Ratelimit-Limit-Requests": {"1"}, "Server": {"s"}}, dst.Add)
	if len(dst) != 1 {
		t.Errorf("%v", dst)
	}
}
