package llm

import (
	"net/http"
	"strings"

	"gatehouse"
)

// Credential reads the caller's credential: Authorization: Bearer, x-api-key or
// api-key. The same value in several headers is one credential; two different
// ones are refused with an *gatehouse.Error of code InvalidArgument, since
// whoever reads only one of them could not tell which was judged. Nothing
// presented is Unauthenticated, and so is a scheme that is not Bearer.
func Credential(h http.Header) (string, error) {
	found := ""
	for _, v := range h["Authorization"] {
		scheme, token, _ := strings.Cut(v, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", gatehouse.Errorf(gatehouse.Unauthenticated, "%s", NoCredentialText)
		}
		if !same(&found, strings.TrimLeft(token, " ")) {
			return "", conflicting()
		}
	}
	for _, v := range h["X-Api-Key"] {
		if !same(&found, v) {
			return "", conflicting()
		}
	}
	for _, v := range h["Api-Key"] {
		if !same(&found, v) {
			return "", conflicting()
		}
	}
	if found == "" {
		return "", gatehouse.Errorf(gatehouse.Unauthenticated, "%s", NoCredentialText)
	}
	return found, nil
}

// same keeps the first credential; empty ones are not presented.
func same(found *string, v string) bool {
	if *found == "" {
		*found = v
	}
	return v == "" || v == *found
}

func conflicting() error {
	return gatehouse.Errorf(gatehouse.InvalidArgument,
		"Authorization, x-api-key and api-key carry different credentials: send one")
}

// forwarded tells which request headers may go to an upstream, in canonical
// form. Accept-Encoding is not among them: the tap must be able to read the
// answer. Content-Length belongs to whoever sends the bytes.
func forwarded(name string) bool {
	switch name {
	case "Accept", "Accept-Language", "Content-Type", "User-Agent", "Anthropic-Version", "Anthropic-Beta", "Openai-Beta",
		"X-Grok-Conv-Id", "X-Request-Id", "Traceparent", "Tracestate", "Idempotency-Key", "X-Client-Request-Id",
		"Anthropic-Dangerous-Direct-Browser-Access":
		return true
	}
	return strings.HasPrefix(name, "X-Stainless-")
}

// returned tells which response headers may go to the client. Rate limits are
// not: the upstream's are of our account there, ours are the client's.
func returned(name string) bool {
	switch name {
	case "Content-Type", "Content-Language", "Content-Disposition", "Cache-Control", "Retry-After",
		"X-Request-Id", "Request-Id", "Openai-Processing-Ms", "Openai-Version", "Openai-Model", "X-Metrics-E2e-Ms", "X-Should-Retry",
		"Anthropic-Version":
		return true
	}
	return false
}

// ForwardRequest copies from src to dst what may go to an upstream: an
// allow-list, so that a header nobody thought of stays here. Credentials,
// cookies, OpenAI-Organization and -Project never pass. Values are shared with
// src: replace, do not append.
func ForwardRequest(dst, src http.Header) { copyIf(dst, src, forwarded) }

// EachReturned calls f with what may go back to the client, chosen in the same
// way.
func EachReturned(src http.Header, f func(name, value string)) {
	hop := src["Connection"]
	for name, values := range src {
		if returned(name) && !namedBy(hop, name) {
			for _, v := range values {
				f(name, v)
			}
		}
	}
}

// copyIf leaves out what Connection names: those headers are for one hop.
func copyIf(dst, src http.Header, allowed func(string) bool) {
	hop := src["Connection"]
	for name, values := range src {
		if allowed(name) && !namedBy(hop, name) {
			dst[name] = values[:len(values):len(values)]
		}
	}
}

func namedBy(connection []string, name string) bool {
	for _, v := range connection {
		for option := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(option), name) {
				return true
			}
		}
	}
	return false
}
