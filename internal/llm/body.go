package llm

// MaxDepth is how deep a JSON request may nest.
const MaxDepth = 64

// Body is what admission needs to know of a request body, and where the two
// members stand that a gateway may have to change.
type Body struct {
	Model              string
	User               string // `user`; for messages metadata.user_id
	PromptCacheKey     string
	PreviousResponseID string
	Conversation       string // an upstream object like PreviousResponseID: id of `conversation`
	ServiceTier        string
	ResponseFormat     string // only when it is a string (images, audio)
	MaxTokens          int64  // the tightest of max_tokens, max_completion_tokens, max_output_tokens; 0 when none
	N                  int64  // ≥ 1
	Characters         int64  // of `input`, for speech
	PromptImages       int64  // input images of an image edit
	Text               int64  // bytes in string values, data URLs left out: for EstimatePrompt
	Stream             bool
	IncludeUsage       bool // the client asked for stream_options.include_usage
	Store              bool // false only when the body says so
	Background         bool
	Deferred           bool // xAI's deferred chat completion
	ItemReference      bool // `input` refers to an item stored upstream
}

// Scan admits a request body, or says with a *gatehouse.Error of code
// InvalidArgument what is wrong with it; [FaultOf] tells the status. JSON must
// be one object in valid UTF-8, nested at most MaxDepth deep, without bytes
// after it, without a repeated top-level member (compared after unescaping) and
// without a member that differs from one we judge only in case or underscores:
// any of these could make an upstream read another request than the one that
// was admitted. Routes without a body accept only an empty one.
func Scan(r *Route, contentType string, body []byte) (Body, error) { return Body{}, nil }

// Rewrite is body as the upstream shall get it. It is the very slice unless
// model differs from what the client wrote, or askUsage is set on a chat or
// completions stream whose client did not ask for usage.
func (b *Body) Rewrite(body []byte, model string, askUsage bool) []byte { return body }

// AddsUsage reports whether Rewrite with askUsage would change the body: the
// Tap must then strip the usage frame.
func (b *Body) AddsUsage() bool { return false }

// EstimatePrompt guesses the prompt's tokens from byte counts, without looking
// at the body again: what the TPM counter gets at dispatch.
func (b *Body) EstimatePrompt() int64 { return 0 }
