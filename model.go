package gatehouse

import (
	"slices"
	"time"
)

// Family is a group of routes that share one wire format. An upstream lists
// the families it speaks; a request goes only to one that speaks its own.
type Family string

// The families. The first three carry usage in three different shapes, which
// is why they are told apart.
const (
	FamilyChat       Family = "chat"        // /v1/chat/completions
	FamilyResponses  Family = "responses"   // /v1/responses and what hangs below it
	FamilyMessages   Family = "messages"    // /v1/messages, Anthropic's
	FamilySample     Family = "completions" // /v1/completions
	FamilyEmbeddings Family = "embeddings"  // /v1/embeddings
	FamilyImages     Family = "images"      // /v1/images/generations and /edits
	FamilyAudio      Family = "audio"       // /v1/audio/*
	FamilyModeration Family = "moderations" // /v1/moderations
	FamilyTokenize   Family = "tokenize"    // /v1/tokenize-text
	FamilyGRPC       Family = "grpc"        // xAI's gRPC chat, for calls that come so: it carries more than its translation to chat
)

// UpstreamKind is the provider whose habits an upstream has: how it takes
// credentials and how it counts.
type UpstreamKind string

// The upstream kinds. KindsOf says what each speaks unless told otherwise.
const (
	OpenAI    UpstreamKind = "openai"
	Anthropic UpstreamKind = "anthropic"
	XAI       UpstreamKind = "xai"
)

// DefaultFamilies is what an upstream of the kind speaks when its record does
// not say. Anthropic's OpenAI-compatible chat route is among its own.
func DefaultFamilies(k UpstreamKind) []Family {
	switch k {
	case Anthropic:
		return []Family{FamilyMessages, FamilyChat}
	case XAI:
		return []Family{FamilyChat, FamilyResponses, FamilyMessages, FamilySample, FamilyEmbeddings, FamilyImages, FamilyTokenize}
	case OpenAI:
		return []Family{FamilyChat, FamilyResponses, FamilySample, FamilyEmbeddings, FamilyImages, FamilyAudio, FamilyModeration}
	}
	return nil
}

// AllFamilies is what a bare --upstream URL speaks: the families of REST.
var AllFamilies = []Family{
	FamilyChat, FamilyResponses, FamilyMessages, FamilySample, FamilyEmbeddings,
	FamilyImages, FamilyAudio, FamilyModeration, FamilyTokenize,
}

// Upstream is one place that answers model requests. Its credential is
// write-only: it is sealed to the row and to the origin of BaseURL, so that
// pointing the URL elsewhere makes it useless.
type Upstream struct {
	ID            ID            `json:"id"`
	Name          string        `json:"name"` // unique; what usage rows and logs say
	Kind          UpstreamKind  `json:"kind"`
	BaseURL       string        `json:"baseUrl"` // with its /v1
	Credential    string        `json:"-"`       // in the clear, only towards a gateway of its clusters
	HasCredential bool          `json:"hasCredential,omitempty"`
	Families      []Family      `json:"families"`
	Serves        []Serve       `json:"serves"`
	Clusters      []string      `json:"clusters,omitempty"`     // empty: all
	AllowPrivate  bool          `json:"allowPrivate,omitempty"` // loopback and private addresses may be dialled
	CACert        string        `json:"caCert,omitempty"`       // PEM, instead of the system's roots
	Proxy         string        `json:"proxy,omitempty"`        // URL of an HTTP proxy
	HTTP          string        `json:"http,omitempty"`         // "", "1.1" or "2"
	AskUsage      bool          `json:"askUsage"`               // set stream_options.include_usage on chat streams
	HeaderTimeout time.Duration `json:"headerTimeout"`          // until the answer's header
	IdleTimeout   time.Duration `json:"idleTimeout"`            // between two reads of a body
	Limits        Limits        `json:"limits,omitzero"`        // of what all gateways send it together
	Disabled      bool          `json:"disabled,omitempty"`
	Declared      bool          `json:"declared,omitempty"` // by the configuration file, which is then the truth
	DeleteTime    time.Time     `json:"deleteTime,omitzero"`
	Revision      Revision      `json:"revision"`
}

// Serve says that an upstream answers for a model. Model "*" is every model of
// the catalogue, or with Owner every model of that owner.
type Serve struct {
	Model  string `json:"model"`
	Owner  string `json:"owner,omitempty"`
	As     string `json:"as,omitempty"`     // what the upstream calls it; empty: the same
	Weight int    `json:"weight,omitempty"` // share among upstreams of one model; 0 counts as 1
}

// ModelType decides in which typed list a model stands.
type ModelType string

// The model types.
const (
	LanguageModel   ModelType = "language"
	EmbeddingModel  ModelType = "embedding"
	ImageModel      ModelType = "image"
	AudioModel      ModelType = "audio"
	ModerationModel ModelType = "moderation"
)

// Model is a canonical model name and what is known of it.
type Model struct {
	Name          string    `json:"name"` // may hold "/" and ":"
	Type          ModelType `json:"type"`
	Owner         string    `json:"owner"` // "xai", "openai", "anthropic": owned_by on the wire
	Version       string    `json:"version,omitempty"`
	Created       time.Time `json:"created,omitzero"`
	ContextLength int64     `json:"contextLength,omitempty"`
	Input         []string  `json:"input,omitempty"` // modalities: TEXT, IMAGE, AUDIO, VIDEO
	Output        []string  `json:"output,omitempty"`
	Functions     bool      `json:"functionCalling,omitempty"`
	Structured    bool      `json:"structuredOutputs,omitempty"`
	Reasoning     bool      `json:"reasoning,omitempty"`
	Clusters      []string  `json:"clusters,omitempty"` // whose gateways serve it; empty: all
	Source        string    `json:"source,omitempty"`   // URL the facts come from
	SourceDate    string    `json:"sourceDate,omitempty"`
	Declared      bool      `json:"declared,omitempty"`
	DeleteTime    time.Time `json:"deleteTime,omitzero"`
	Revision      Revision  `json:"revision"`
}

// In reports whether gateways of the cluster serve the model.
func (m *Model) In(cluster string) bool {
	return len(m.Clusters) == 0 || slices.Contains(m.Clusters, cluster)
}

// Alias is another name for a model. Fallbacks are tried in order when no
// upstream of the target can answer; the key's ACL is checked again on each.
type Alias struct {
	Name       string    `json:"name"`
	Target     string    `json:"target"`
	Fallbacks  []string  `json:"fallbacks,omitempty"`
	Declared   bool      `json:"declared,omitempty"`
	DeleteTime time.Time `json:"deleteTime,omitzero"`
	Revision   Revision  `json:"revision"`
}

// Price is what a model costs from a moment on. A model without a price in
// force is refused; a price is never guessed, so Source is required unless an
// operator set the price. Several may exist per model; the newest Effective
// that is not in the future rules.
type Price struct {
	ID            ID                          `json:"id"`
	Model         string                      `json:"model"`
	Effective     time.Time                   `json:"effective"`
	Units         map[string]Ticks            `json:"units"`                          // by Unit.String()
	LongContext   map[string]Ticks            `json:"longContext,omitempty"`          // replaces Units above the threshold
	LongThreshold int64                       `json:"longContextThreshold,omitempty"` // prompt tokens
	Tiers         map[string]map[string]Ticks `json:"tiers,omitempty"`                // by service tier
	Source        string                      `json:"source"`                         // URL, or "operator"
	SourceDate    string                      `json:"sourceDate,omitempty"`
	Declared      bool                        `json:"declared,omitempty"`
	DeleteTime    time.Time                   `json:"deleteTime,omitzero"`
	Revision      Revision                    `json:"revision"`
}

// Cluster is a named group of gateways. Address is what propagation calls it.
type Cluster struct {
	Name       string    `json:"name"`
	Address    string    `json:"address,omitempty"`
	Declared   bool      `json:"declared,omitempty"`
	DeleteTime time.Time `json:"deleteTime,omitzero"`
	Revision   Revision  `json:"revision"`
}

// Label is the cluster's key in icPropagation: its address, else its name.
func (c *Cluster) Label() string {
	if c.Address != "" {
		return c.Address
	}
	return c.Name
}

// Gateway is one member of a cluster, by the id in its --data: a restart is
// the same member.
type Gateway struct {
	ID        ID        `json:"id"`
	Cluster   string    `json:"cluster"`
	Version   string    `json:"version"`
	Joined    time.Time `json:"joined"`
	LastSeen  time.Time `json:"lastSeen"`
	Enforced  Revision  `json:"enforced"`          // what it acknowledged
	Problem   string    `json:"problem,omitempty"` // why a record was quarantined
	Lease     time.Time `json:"lease,omitzero"`    // until when it may serve strict keys
	Forgotten bool      `json:"forgotten,omitempty"`
}

// Rate prices a vector unit by unit. long reports that the long-context prices
// applied. ok is false when a unit that is not zero has no price, or when the
// total would overflow: the request is then recorded as unpriced, with what it
// used, so that it can be rated later.
func (p *Price) Rate(u Usage, tier string) (costs Costs, long, ok bool) {
	long = p.LongThreshold > 0 && u.Prompt() > p.LongThreshold
	ok = true
	var sum Ticks
	for i, n := range u {
		if n == 0 {
			continue
		}
		unit, found := p.unit(Unit(i), tier, long)
		part, fits := unit.Mul(n)
		total, adds := sum.Add(part)
		if !found || !fits || !adds {
			ok = false
			continue
		}
		costs[i], sum = part, total
	}
	return costs, long, ok
}

// unit finds the price of one unit: tier before long context before the plain
// price. Reasoning is billed as completion text and cache writes as prompt
// text where the provider names no price of their own.
func (p *Price) unit(u Unit, tier string, long bool) (Ticks, bool) {
	for _, name := range []string{u.String(), standIn(u)} {
		if t, ok := p.Tiers[tier][name]; ok {
			return t, true
		}
		if t, ok := p.LongContext[name]; long && ok {
			return t, true
		}
		if t, ok := p.Units[name]; ok {
			return t, true
		}
	}
	return 0, false
}

func standIn(u Unit) string {
	switch u {
	case Reasoning, CompletionAudio:
		return CompletionText.String()
	case CacheRead, CacheWrite5m, CacheWrite1h, PromptImage, PromptAudio:
		return PromptText.String()
	}
	return u.String()
}
