package gatehouse

import (
	"slices"
	"strings"
)

// An endpoint is a group of gateway routes that one ACL string opens.
const (
	EndpointChat      = "chat"       // chat completions, responses, messages
	EndpointSample    = "sample"     // legacy text completions
	EndpointEmbed     = "embed"      // embeddings
	EndpointImage     = "image"      // image generation and edits
	EndpointVoice     = "voice"      // speech, transcription, translation
	EndpointModerate  = "moderation" // moderations
	EndpointModels    = "models"     // model lists
	EndpointTokenize  = "tokenize"   // tokenize-text
	EndpointDocuments = "documents"  // document search
	EndpointFiles     = "files"      // files
)

// Endpoints lists every endpoint that an ACL may name, in the order in which
// GET /auth/teams/{id}/endpoints shows them (wire.md §2.4).
var Endpoints = []string{
	EndpointChat, EndpointEmbed, EndpointImage, EndpointModels, EndpointSample,
	EndpointTokenize, EndpointDocuments, EndpointFiles, EndpointVoice, EndpointModerate,
}

const (
	modelACL    = "api-key:model:"
	endpointACL = "api-key:endpoint:"
	// MaxACLs bounds the entries of one key.
	MaxACLs = 1000
	// MaxModelName bounds a model name in bytes.
	MaxModelName = 256
)

// ACL is what a key may do: which models on which endpoints. Values are exact
// or "*" alone; there are no patterns. A list without an entry of either kind
// admits nothing, so the zero ACL denies every request. Entries are unique and
// kept in the order given.
type ACL []string

// Validate checks the grammar. Unknown models are allowed, since keys may
// precede models; unknown endpoints are not.
func (a ACL) Validate(field string, v *Violations) {
	if len(a) > MaxACLs {
		v.Addf(field, "at most %d entries", MaxACLs)
	}
	for _, s := range a {
		switch kind, value := splitACL(s); {
		case kind == "":
			v.Addf(field, "%q is neither api-key:model:NAME nor api-key:endpoint:NAME", clip(s))
		case value == "*":
		case kind == endpointACL && !slices.Contains(Endpoints, value):
			v.Addf(field, "unknown endpoint %q; GET /auth/teams/{teamId}/endpoints lists them", clip(value))
		case kind == modelACL && !validModelName(value):
			v.Addf(field, "%q is not a model name: exact, or * alone", clip(value))
		}
	}
}

// Normal returns a without repeats.
func (a ACL) Normal() ACL {
	out := make(ACL, 0, len(a))
	for _, s := range a {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// AllowsModel reports whether a request dispatched to the canonical model may pass.
func (a ACL) AllowsModel(model string) bool { return a.allows(modelACL, model) }

// AllowsEndpoint reports whether requests of the endpoint may pass.
func (a ACL) AllowsEndpoint(endpoint string) bool { return a.allows(endpointACL, endpoint) }

// Within reports the first entry of a that b does not grant; empty when a fits.
// "*" fits only under "*".
func (a ACL) Within(b ACL) (excess string) {
	for _, s := range a {
		kind, value := splitACL(s)
		if kind == "" || !b.allows(kind, value) {
			return s
		}
	}
	return ""
}

// Models lists the model values of a.
func (a ACL) Models() []string {
	var out []string
	for _, s := range a {
		if v, ok := strings.CutPrefix(s, modelACL); ok {
			out = append(out, v)
		}
	}
	return out
}

// Endpoints lists the endpoint values of a.
func (a ACL) Endpoints() []string {
	var out []string
	for _, s := range a {
		if v, ok := strings.CutPrefix(s, endpointACL); ok {
			out = append(out, v)
		}
	}
	return out
}

func (a ACL) allows(kind, value string) bool {
	for _, s := range a {
		if v, ok := strings.CutPrefix(s, kind); ok && (v == "*" || v == value) {
			return true
		}
	}
	return false
}

// ModelACL and EndpointACL spell an entry.
func ModelACL(model string) string       { return modelACL + model }
func EndpointACL(endpoint string) string { return endpointACL + endpoint }

func splitACL(s string) (kind, value string) {
	for _, k := range []string{modelACL, endpointACL} {
		if v, ok := strings.CutPrefix(s, k); ok && v != "" {
			return k, v
		}
	}
	return "", ""
}

// validModelName is printable ASCII without spaces, quotes or "*". Model names
// with "/" and ":" exist upstream and are allowed.
func validModelName(s string) bool {
	if s == "" || len(s) > MaxModelName {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`*"'<>\,`+"`", r)
	}) < 0
}

// clip keeps an echoed value short. A token pasted into the wrong field must not
// come back in the error and the log: 24 characters reach into its public id
// and no further.
func clip(s string) string {
	const most = 24
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
