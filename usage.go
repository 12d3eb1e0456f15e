package gatehouse

import "time"

// Unit is one disjoint billable part of a request. Nothing counts twice: what
// a provider reports inside another figure is taken out of it when the `llm`
// family converts its answer (design.md §8).
type Unit uint8

// The units. Their order is part of the journal's and the store's format:
// append, never reorder.
const (
	PromptText      Unit = iota // prompt tokens that no cache served
	CacheRead                   // prompt tokens read from a cache
	CacheWrite5m                // prompt tokens written to a five-minute cache
	CacheWrite1h                // prompt tokens written to a one-hour cache
	PromptImage                 // prompt tokens that stand for images
	PromptAudio                 // prompt tokens that stand for audio
	CompletionText              // answer tokens, reasoning excluded
	CompletionAudio             // answer tokens that stand for audio
	Reasoning                   // reasoning tokens
	Images                      // images made or edited
	Seconds                     // seconds of audio or video, rounded up per request
	Searches                    // web and live searches, and sources where billed so
	ServerTools                 // calls of tools that run at the provider
	Characters                  // characters of text turned into speech
	PromptImages                // input images where they are billed each
	NumUnits                    // how many there are
)

var unitNames = [NumUnits]string{
	"Prompt text tokens", "Cached prompt text tokens", "Cache write tokens (5 min)", "Cache write tokens (1 h)",
	"Prompt image tokens", "Prompt audio tokens", "Completion text tokens", "Completion audio tokens",
	"Reasoning tokens", "Images", "Seconds", "Searches", "Server-side tool calls", "Characters", "Prompt images",
}

// String is the unit type as invoices and analytics name it.
func (u Unit) String() string {
	if u >= NumUnits {
		return "Unknown"
	}
	return unitNames[u]
}

// ParseUnit inverts String.
func ParseUnit(s string) (Unit, bool) {
	for i, n := range unitNames {
		if n == s {
			return Unit(i), true
		}
	}
	return 0, false
}

// IsToken reports whether the unit counts in `tokens`, TPM and token totals:
// prompt + cache read + cache write + completion + reasoning.
func (u Unit) IsToken() bool { return u <= Reasoning }

// IsCompletion reports whether the unit is of what the model wrote, reasoning
// included; the other tokens are of the prompt.
func (u Unit) IsCompletion() bool {
	return u == CompletionText || u == CompletionAudio || u == Reasoning
}

// Usage is what one request consumed, by unit; every element is ≥ 0.
type Usage [NumUnits]int64

// Tokens is the total that limits and analytics count.
func (u Usage) Tokens() int64 {
	var n int64
	for i := PromptText; i <= Reasoning; i++ {
		n += u[i]
	}
	return n
}

// Prompt and Completion split Tokens.
func (u Usage) Prompt() int64 {
	return u[PromptText] + u[CacheRead] + u[CacheWrite5m] + u[CacheWrite1h] + u[PromptImage] + u[PromptAudio]
}

// Completion is what the model wrote, reasoning included.
func (u Usage) Completion() int64 { return u[CompletionText] + u[CompletionAudio] + u[Reasoning] }

// Items is how many units are not zero: xAI's "billing items".
func (u Usage) Items() int64 {
	var n int64
	for _, v := range u {
		if v != 0 {
			n++
		}
	}
	return n
}

// Costs is what each unit of a request cost.
type Costs [NumUnits]Ticks

// Total sums the parts; rating made sure that it fits.
func (c Costs) Total() Ticks {
	var sum Ticks
	for _, t := range c {
		sum += t
	}
	return sum
}

// Outcome says how a request ended, for usage rows and metrics.
type Outcome string

// The outcomes.
const (
	Completed    Outcome = "completed"     // the upstream finished
	ClientGone   Outcome = "client_gone"   // the client left; the upstream was drained or cut
	UpstreamLost Outcome = "upstream_lost" // the upstream broke off or answered garbage
	Failed       Outcome = "failed"        // the upstream said no
	Interrupted  Outcome = "interrupted"   // the gateway died; the journal's open record says so
)

// UsageRecord is one request whose first byte went to an upstream. There is
// exactly one, whoever died in between: ID is fixed at admission, before that
// byte, and ingest is unique on it.
type UsageRecord struct {
	ID            ID                `json:"id"` // version 7
	Start         time.Time         `json:"start"`
	Close         time.Time         `json:"close"`
	TeamID        ID                `json:"team"`
	KeyID         ID                `json:"key"`
	UserID        ID                `json:"user,omitzero"` // the key's owner
	Tags          map[string]string `json:"tags,omitempty"`
	EndUser       string            `json:"endUser,omitempty"` // the body's `user`, as sent
	Model         string            `json:"model"`             // canonical, as dispatched
	Asked         string            `json:"asked,omitempty"`   // as the client wrote it, when different
	Endpoint      string            `json:"endpoint"`
	Cluster       string            `json:"cluster"`
	Gateway       ID                `json:"gateway"`
	ClientIP      string            `json:"clientIp,omitempty"`
	RequestID     string            `json:"requestId"`
	Upstream      string            `json:"upstream"`
	Attempts      int               `json:"attempts"`
	Status        int               `json:"status"` // what the client was answered, 0 when it left first
	Outcome       Outcome           `json:"outcome"`
	Usage         Usage             `json:"usage"`
	Estimated     bool              `json:"estimated,omitempty"` // no usage was seen: prompt and output were counted here
	LongContext   bool              `json:"longContext,omitempty"`
	ServiceTier   string            `json:"serviceTier,omitempty"`
	FirstByte     time.Duration     `json:"firstByte"` // from admission; 0 when none came
	Latency       time.Duration     `json:"latency"`
	UpstreamUsage string            `json:"upstreamUsage,omitempty"` // the provider's own usage object, verbatim
	Costs         Costs             `json:"costs"`                   // set by rating, at ingest
	Unpriced      bool              `json:"unpriced,omitempty"`      // some unit had no price; the units are kept
	PriceRevision Revision          `json:"priceRevision"`           // of the price that rated it
}

// Rate prices the record by the price of its model that was in force at its
// start; prices are newest effective first. Without one, or when a unit in use
// has none, the record is Unpriced; what has a price keeps it.
func (r *UsageRecord) Rate(prices []*Price) {
	r.Costs, r.LongContext, r.Unpriced, r.PriceRevision = Costs{}, false, false, Revision{}
	for _, p := range prices {
		if !p.DeleteTime.IsZero() || p.Effective.After(r.Start) {
			continue
		}
		var ok bool
		r.Costs, r.LongContext, ok = p.Rate(r.Usage, r.ServiceTier)
		r.Unpriced, r.PriceRevision = !ok, p.Revision
		return
	}
	r.Unpriced = r.Usage != Usage{}
}
