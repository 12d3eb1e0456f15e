package llm

import (
	"mime"
	"strings"
	"unicode/utf8"

	"gatehouse"
)

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
	// MaxTokens is the loosest of max_tokens, max_completion_tokens and
	// max_output_tokens, since an upstream goes by the one that it knows; 0 when none.
	MaxTokens int64
	// N is how many answers are asked for, ≥ 1 and ≤ maxAnswers: for completions of
	// all prompts, and counting those of which the best is chosen.
	N             int64
	Characters    int64 // of `input`, for speech
	PromptImages  int64 // input images of an image edit
	Text          int64 // bytes in string values that look like text: for EstimatePrompt
	Stream        bool
	IncludeUsage  bool // the client asked for stream_options.include_usage
	Store         bool // false only when the body says so
	Background    bool
	Deferred      bool // xAI's deferred chat completion
	ItemReference bool // `input` refers to an item stored upstream
	Files         int  // how often the body names a file of the library: Inline it

	prompts  int64 // of completions, when there are several
	bestOf   int64 // of completions
	tokens   int64 // numbers in a body whose text may be given as tokens
	blobs    int64 // string values that look like data
	takesAsk bool  // the family has stream_options.include_usage
	raw      bool  // the model's value stands unquoted: multipart
	model    span  // its value, quotes included
	options  span  // stream_options' value
	include  span  // include_usage's value
	end      int   // where the closing brace stands
}

// span is a half-open range of the body; empty when to is 0.
type span struct{ from, to int }

// Scan admits a request body, or says with a *gatehouse.Error of code
// InvalidArgument what is wrong with it; [FaultOf] tells the status. JSON must
// be one object in valid UTF-8, nested at most MaxDepth deep, without bytes
// after it, without a repeated top-level member (compared after unescaping) and
// without a member that differs from one we judge only in case or underscores:
// any of these could make an upstream read another request than the one that
// was admitted. Routes without a body accept only an empty one.
func Scan(r *Route, contentType string, body []byte) (Body, error) {
	if !r.JSON && !r.Multipart {
		return bodyless(r, body)
	}
	isJSON := contentType == "application/json"
	if !isJSON {
		kind, params, err := mime.ParseMediaType(contentType)
		if r.Multipart && err == nil && kind == "multipart/form-data" {
			return scanForm(r, params["boundary"], body)
		}
		// Whoever believed another charset would read another request: in UTF-7,
		// "mod+AGU-l" is model.
		isJSON = err == nil && kind == "application/json" && utf8Charset(params["charset"])
	}
	if !isJSON || !r.JSON {
		return Body{}, unsupported(r)
	}
	return scanJSON(r, body)
}

func utf8Charset(name string) bool {
	return name == "" || strings.EqualFold(name, "utf-8") || strings.EqualFold(name, "utf8")
}

// bodyless admits requests that carry nothing. An empty JSON object is what
// some SDKs send with a POST that has no parameters.
func bodyless(r *Route, body []byte) (Body, error) {
	if len(body) == 0 || r.Op == Cancel && string(body) == "{}" {
		return Body{N: 1, Store: true}, nil
	}
	return Body{}, gatehouse.Errorf(gatehouse.InvalidArgument, "%s takes no request body", r.Path)
}

func unsupported(r *Route) error {
	want := "application/json"
	switch {
	case r.JSON && r.Multipart:
		want += " or multipart/form-data with a boundary"
	case r.Multipart:
		want = "multipart/form-data with a boundary"
	}
	return gatehouse.Errorf(gatehouse.InvalidArgument, "Content-Type must be %s", want).Because(errMediaType)
}

// scanJSON admits a JSON body. The loop stands here and not in a callback so
// that it allocates nothing beyond the strings of the result.
func scanJSON(r *Route, body []byte) (Body, error) {
	s := scanner{b: body, strict: true, watch: true, toolInput: r.Family == gatehouse.FamilyMessages, inlines: r.Inlines}
	b := Body{N: 1, Store: true, takesAsk: r.Family == gatehouse.FamilyChat || r.Family == gatehouse.FamilySample}
	var names roster
	if !s.open() {
		return Body{}, s.flaw()
	}
	for more := !s.closed('}'); more; {
		raw, escaped, ok := s.name()
		if !ok {
			return Body{}, s.flaw()
		}
		if escaped {
			raw = []byte(unquote(raw))
		}
		s.space()
		value := span{from: s.i}
		if !s.member(raw, false, false, 2) {
			return Body{}, s.flaw()
		}
		value.to = s.i
		if problem := names.add(raw); problem != "" {
			return Body{}, refuse(string(raw), problem)
		}
		if err := b.take(r, raw, value, &s); err != nil {
			return Body{}, err
		}
		if more, ok = s.next('}'); !ok {
			return Body{}, s.flaw()
		}
	}
	b.end, b.Text, b.blobs, b.Files = s.i-1, s.text, s.blobs, s.files
	if r.Family == gatehouse.FamilyEmbeddings || r.Family == gatehouse.FamilySample {
		b.tokens = s.numbers
	}
	if s.space(); s.i < len(body) {
		s.fail("bytes after the object")
		return Body{}, s.flaw()
	}
	return b, b.complete(r)
}

// complete judges what only the whole body can tell.
func (b *Body) complete(r *Route) error {
	b.N = max(b.N, b.bestOf) * max(b.prompts, 1)
	switch {
	case b.N > maxAnswers:
		return refuse("prompt", "at most 8192 answers at once: prompts times n or best_of")
	case b.Model == "":
		return refuse("model", "is required")
	case b.Stream && !r.Stream:
		return refuse("stream", r.Path+" does not stream: leave it out")
	case r.Family == gatehouse.FamilyAudio && r.Multipart:
		return b.meterable(r)
	}
	return nil
}

// meterable refuses answers that say neither tokens nor seconds: what cannot be
// metered is refused by name. Only JSON answers say it, and translations only
// in their verbose form.
func (b *Body) meterable(r *Route) error {
	verbose := b.ResponseFormat == "verbose_json"
	if r.Suffix == "/audio/translations" && !verbose {
		return refuse("response_format", "only verbose_json can be metered on this route")
	}
	switch b.ResponseFormat {
	case "", "json", "verbose_json", "diarized_json":
		return nil
	}
	return refuse("response_format", "only json, verbose_json and diarized_json can be metered")
}

// Rewrite is body as the upstream shall get it. It is the very slice unless
// model differs from what the client wrote, or askUsage is set on a chat or
// completions stream whose client did not ask for usage.
func (b *Body) Rewrite(body []byte, model string, askUsage bool) []byte {
	rename, ask := model != b.Model && b.model.to != 0, askUsage && b.AddsUsage()
	if !rename && !ask {
		return body
	}
	e := editor{src: body, out: make([]byte, 0, len(body)+len(model)+64)}
	if ask && b.options.to != 0 && b.options.from < b.model.from {
		b.askIn(&e)
		ask = false
	}
	if rename {
		e.copyTo(b.model.from)
		if b.raw {
			e.put(model)
		} else {
			e.out = appendString(e.out, model)
		}
		e.at = b.model.to
	}
	if ask {
		b.askIn(&e)
	}
	e.copyTo(len(body))
	return e.out
}

// askIn asks for usage at the one place that keeps all else as it was.
func (b *Body) askIn(e *editor) {
	const asks = `"include_usage":true`
	switch {
	case b.include.to != 0:
		e.replace(b.include, "true")
	case b.options.to == 0:
		e.replace(span{b.end, b.end}, `,"stream_options":{`+asks+"}")
	case e.src[b.options.from] != '{':
		e.replace(b.options, "{"+asks+"}")
	default:
		in, comma := b.options.from+1, ","
		if c := (&scanner{b: e.src, i: in}); c.space() == '}' {
			comma = ""
		}
		e.replace(span{in, in}, asks+comma)
	}
}

// AddsUsage reports whether Rewrite with askUsage would change the body: the
// Tap must then strip the usage frame.
func (b *Body) AddsUsage() bool { return b.takesAsk && b.Stream && !b.IncludeUsage }

// editor copies src to out with edits in ascending order.
type editor struct {
	src, out []byte
	at       int
}

func (e *editor) copyTo(to int) { e.out = append(e.out, e.src[e.at:to]...); e.at = to }
func (e *editor) put(s string)  { e.out = append(e.out, s...) }
func (e *editor) replace(s span, with string) {
	e.copyTo(s.from)
	e.put(with)
	e.at = s.to
}

// blobTokens stands for one picture or file in an estimate: what a 1024 pixel
// square costs at OpenAI (765) and Anthropic (about 1,400), in between.
const blobTokens = 1000

// EstimatePrompt guesses the prompt's tokens from byte counts, without looking
// at the body again: what the TPM counter gets at dispatch.
func (b *Body) EstimatePrompt() int64 { return (b.Text+3)/4 + b.tokens + b.blobs*blobTokens }

// firstInvalid is where the first byte stands that is no UTF-8.
func firstInvalid(b []byte) (at int) {
	for at < len(b) {
		r, n := utf8.DecodeRune(b[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	return at
}

// open enters the body's object.
func (s *scanner) open() bool {
	if s.space() != '{' {
		return s.fail("expected an object")
	}
	s.i++
	return true
}

// closed steps over end when it comes next: an empty container.
func (s *scanner) closed(end byte) bool {
	if s.space() != end {
		return false
	}
	s.i++
	return true
}
