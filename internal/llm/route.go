package llm

import "gatehouse"

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
func Classify(method, path string) (Route, Match) { return Route{}, NoRoute }
