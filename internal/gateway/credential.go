package gateway

import (
	"net/http"

	"gatehouse"
)

// anthropicVersion is sent when the client names none: a request without it is
// refused there. It has been the current one since June 2023.
const anthropicVersion = "2023-06-01"

// bothWays is a credential bare and as a bearer token.
func bothWays(credential string) []string { return []string{credential, "Bearer " + credential} }

// authorize puts an upstream's credential where its kind wants it. Anthropic's
// own routes take x-api-key, its OpenAI-compatible one, like everybody else, a
// bearer token.
func (l *link) authorize(h http.Header, family gatehouse.Family) {
	bare := l.up.Kind == gatehouse.Anthropic && family == gatehouse.FamilyMessages
	if bare && h["Anthropic-Version"] == nil {
		h["Anthropic-Version"] = []string{anthropicVersion}
	}
	switch {
	case l.credential == nil:
	case bare:
		h["X-Api-Key"] = l.credential[:1:1]
	default:
		h["Authorization"] = l.credential[1:2:2]
	}
}
