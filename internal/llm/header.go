package llm

import "net/http"

// Credential reads the caller's credential: Authorization: Bearer, x-api-key or
// api-key. The same value in several headers is one credential; two different
// ones are refused with an *gatehouse.Error of code InvalidArgument, since
// whoever reads only one of them could not tell which was judged. Nothing
// presented is Unauthenticated.
func Credential(h http.Header) (string, error) { return "", nil }

// ForwardRequest copies from src to dst what may go to an upstream: an
// allow-list, so that a header nobody thought of stays here. Credentials,
// cookies, OpenAI-Organization and -Project never pass.
func ForwardRequest(dst, src http.Header) {}

// ForwardResponse copies from src to dst what may go back to the client.
func ForwardResponse(dst, src http.Header) {}
