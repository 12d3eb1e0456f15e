package llm

import (
	"net/http"
	"net/url"
	"strings"

	"gatehouse"
)

// Op is what a route does, for whoever dispatches on it.
type Op uint8

// The operations. Those up to Tokenize carry a body; those from Tokenize on
// are answered here and reach no upstream.
const (
	Create      Op = iota // POST that makes a model work: admitted, metered, forwarded
	CountTokens           // POST /v1/messages/count_tokens: forwarded, free
	Get                   // GET /v1/responses/{id}
	Delete                // DELETE /v1/responses/{id}
	Cancel                // POST /v1/responses/{id}/cancel
	InputItems            // GET /v1/responses/{id}/input_items
	Tokenize              // POST /v1/tokenize-text: answered here
	ListModels            // GET /v1/models and the typed lists; Route.ModelType tells which
	GetModel              // GET of one model; Route.ObjectID is its name or alias
	APIKey                // GET /v1/api-key
	Me                    // GET /v1/me
	Library               // files and searches: asked of the library, not of an upstream
)

// Style is the shape of an error body.
type Style uint8

// The styles. A route has its own; configuration may turn StyleXAI into StyleOpenAI.
const (
	StyleXAI       Style = iota // {"code","error"}
	StyleOpenAI                 // {"error":{"message","type","param","code"}}
	StyleAnthropic              // {"type":"error","error":{"type","message"},"request_id"}
)

// Route is what a method and a path ask for.
type Route struct {
	Family    gatehouse.Family    // empty for models, api-key and me
	Op        Op                  //
	Endpoint  string              // endpoint ACL that the key needs; empty: none
	Path      string              // pattern for rows, logs and metrics: /v1/responses/{id}; bounded in number
	Suffix    string              // path below the upstream's base URL: /responses/resp_1/cancel; empty when Local
	ObjectID  string              // response id or model name in the path
	ModelType gatehouse.ModelType // of a typed model list; empty for /v1/models
	Style     Style               // of errors
	Stream    bool                // the body's stream may be true
	Metered   bool                // leaves a usage record
	Multipart bool                // takes multipart/form-data
	JSON      bool                // takes application/json
	Local     bool                // answered here
	Public    bool                // needs no credential: the path holds its own
	Inlines   bool                // the body may name files of the library, which are put in their place
	Allow     string              // the methods of the path, for a 405
}

// Match is how far a request line fits.
type Match uint8

// The matches.
const (
	NoRoute     Match = iota // 404
	WrongMethod              // 405, Route.Allow and Route.Style are set
	Found
)

// Classify finds the route of a request. path is the path as it came, still
// escaped ([net/url.URL.EscapedPath]): the routed part is compared byte by byte
// and never cleaned or decoded, since whatever we decode an upstream might
// decode differently. Only a model name, which never leaves this process, is
// unescaped.
func Classify(method, path string) (Route, Match) {
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return Route{Style: styleOf(path)}, NoRoute
	}
	r, ok := fixed(rest)
	if !ok {
		r, ok = named(rest)
	}
	if !ok {
		return Route{Style: styleOf(path)}, NoRoute
	}
	if r.Path == "" {
		r.Path = path
	}
	switch {
	case r.Op == Get && method == http.MethodDelete:
		r.Op = Delete
	case r.Op == Get && method == http.MethodGet:
	case r.Op == Library:
		return r.of(method)
	case method != r.Allow:
		return r, WrongMethod
	}
	return r, Found
}

// styleOf decides the error body of a path: everything below Anthropic's route
// is read by Anthropic's SDKs, also where nothing is routed.
func styleOf(path string) Style {
	if strings.HasPrefix(path, "/v1/messages") {
		return StyleAnthropic
	}
	return StyleXAI
}

// creates makes the route of a metered POST.
func creates(family gatehouse.Family, endpoint, suffix string) Route {
	return Route{
		Family: family, Op: Create, Endpoint: endpoint, Suffix: suffix,
		Metered: true, JSON: true, Allow: http.MethodPost,
	}
}

// local makes the route of a GET that is answered here.
func local(op Op, endpoint string) Route {
	return Route{Op: op, Endpoint: endpoint, Local: true, Allow: http.MethodGet}
}

// fixed finds the routes without an id. Their suffixes are constants, so that
// the hot ones allocate nothing.
func fixed(rest string) (r Route, ok bool) {
	switch rest {
	case "chat/completions":
		r = creates(gatehouse.FamilyChat, gatehouse.EndpointChat, "/chat/completions")
		r.Stream = true
	case "responses":
		r = creates(gatehouse.FamilyResponses, gatehouse.EndpointChat, "/responses")
		r.Stream = true
	case "messages":
		r = creates(gatehouse.FamilyMessages, gatehouse.EndpointChat, "/messages")
		r.Stream, r.Style = true, StyleAnthropic
	case "messages/count_tokens":
		r = creates(gatehouse.FamilyMessages, gatehouse.EndpointChat, "/messages/count_tokens")
		r.Op, r.Metered, r.Style = CountTokens, false, StyleAnthropic
	case "completions":
		r = creates(gatehouse.FamilySample, gatehouse.EndpointSample, "/completions")
		r.Stream = true
	case "embeddings":
		r = creates(gatehouse.FamilyEmbeddings, gatehouse.EndpointEmbed, "/embeddings")
	case "moderations":
		r = creates(gatehouse.FamilyModeration, gatehouse.EndpointModerate, "/moderations")
	default:
		return media(rest)
	}
	r.Inlines = r.Endpoint == gatehouse.EndpointChat
	return r, true
}

// media finds the routes of images and audio, and those answered here.
func media(rest string) (r Route, ok bool) {
	switch rest {
	case "images/generations":
		r = creates(gatehouse.FamilyImages, gatehouse.EndpointImage, "/images/generations")
		r.Stream = true
	case "images/edits":
		r = creates(gatehouse.FamilyImages, gatehouse.EndpointImage, "/images/edits")
		r.Stream, r.Multipart = true, true
	case "audio/speech":
		r = creates(gatehouse.FamilyAudio, gatehouse.EndpointVoice, "/"+rest)
	case "audio/transcriptions", "audio/translations":
		r = creates(gatehouse.FamilyAudio, gatehouse.EndpointVoice, "/"+rest)
		r.JSON, r.Multipart, r.Stream = false, true, rest == "audio/transcriptions"
	case "tokenize-text":
		r = Route{
			Family: gatehouse.FamilyTokenize, Op: Tokenize, Endpoint: gatehouse.EndpointTokenize,
			JSON: true, Local: true, Allow: http.MethodPost,
		}
	case "api-key":
		r = local(APIKey, "")
	case "me":
		r = local(Me, "")
	default:
		if r, ok = library(rest); ok {
			return r, ok
		}
		r = local(ListModels, gatehouse.EndpointModels)
		r.ModelType, ok = modelList(rest)
		return r, ok
	}
	return r, true
}

// modelList tells whether name is a model list, and of which type.
func modelList(name string) (gatehouse.ModelType, bool) {
	switch name {
	case "models":
		return "", true
	case "language-models":
		return gatehouse.LanguageModel, true
	case "embedding-models":
		return gatehouse.EmbeddingModel, true
	case "image-generation-models":
		return gatehouse.ImageModel, true
	}
	return "", false
}

// named finds the routes that hold an id.
func named(rest string) (Route, bool) {
	head, id, ok := strings.Cut(rest, "/")
	if !ok {
		return Route{}, false
	}
	switch head {
	case "responses":
		return response(id)
	case "files":
		return file(id)
	}
	return model(head, id)
}

// response finds the routes of one stored response. What they cost was metered
// when it was made.
func response(rest string) (Route, bool) {
	id, verb, nested := strings.Cut(rest, "/")
	if !validObjectID(id) {
		return Route{}, false
	}
	r := Route{
		Family: gatehouse.FamilyResponses, Endpoint: gatehouse.EndpointChat,
		Suffix: "/responses/" + rest, ObjectID: id, Allow: "GET, DELETE",
	}
	switch {
	case !nested:
		r.Op, r.Path = Get, "/v1/responses/{id}"
	case verb == "cancel":
		r.Op, r.Path, r.Allow = Cancel, "/v1/responses/{id}/cancel", http.MethodPost
	case verb == "input_items":
		r.Op, r.Path, r.Allow = InputItems, "/v1/responses/{id}/input_items", http.MethodGet
	default:
		return Route{}, false
	}
	return r, true
}

// model finds the routes of one model, whose name may hold "/", escaped or not.
func model(head, escaped string) (Route, bool) {
	kind, ok := modelList(head)
	name, err := url.PathUnescape(escaped)
	if !ok || err != nil || !validModel(name) {
		return Route{}, false
	}
	r := local(GetModel, gatehouse.EndpointModels)
	r.Path, r.ObjectID, r.ModelType = "/v1/"+head+"/{id}", name, kind
	return r, true
}

// maxObjectID bounds an upstream's ids; the longest seen have about 120 bytes.
const maxObjectID = 512

// validObjectID admits what cannot mean anything else in a URL, however often
// it gets decoded: no dots, no percent, no slashes.
func validObjectID(id string) bool {
	if id == "" || len(id) > maxObjectID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// validModel refuses names that could not be looked up anyway.
func validModel(name string) bool {
	if name == "" || len(name) > gatehouse.MaxModelName {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}
