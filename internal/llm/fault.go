package llm

// Fault is one kind of answer that is not the upstream's. Each has a row in one
// table: slug, statuses and the types of the three styles.
type Fault uint8

// The faults, in the order of the contract's table.
const (
	NoCredential       Fault = iota // 401
	BadKey                          // 400 in xAI's style, 401 in the others
	Denied                          // 403
	Missing                         // 404: model, route, object
	Invalid                         // 400
	MethodNotAllowed                // 405
	TooLarge                        // 413
	MediaType                       // 415
	Limited                         // 429, ours
	UpstreamCredential              // 502
	UpstreamExhausted               // 429, the upstream's
	UpstreamFailed                  // 502
	UpstreamTimeout                 // 504
	NotReady                        // 503
	Broken                          // 500
	Duplicate                       // 409
	numFaults
)

// Status is the HTTP status of f in a style.
func (f Fault) Status(s Style) int { return 0 }

// Slug is xAI's code for f, and the label of logs and metrics.
func (f Fault) Slug() string { return "" }

// FaultOf classifies an error of this product; nil and unclassified are Broken.
func FaultOf(err error) Fault { return Broken }

// ErrorBody is the JSON body for f in a style.
func ErrorBody(s Style, f Fault, message, requestID string) []byte { return nil }

// ErrorFrame is the SSE frame for f, for a failure after the header was sent.
func ErrorFrame(s Style, f Fault, message, requestID string) []byte { return nil }

// The texts follow xAI's word for word as far as observed (wire.md §6.1), with
// its console replaced by "the administrator of this gateway".

// NoCredentialText says that nothing was presented.
const NoCredentialText = "No credentials provided"

// BadKeyText says that a key is not known, showing two characters on each side.
func BadKeyText(presented string) string { return "" }

// EndpointDeniedText says that the key's ACL lacks the endpoint.
func EndpointDeniedText(endpoint string) string { return "" }

// ModelDeniedText says that the key's ACL lacks the model; redacted names the key.
func ModelDeniedText(redacted, model string) string { return "" }

// ModelMissingText says that there is no such model for the team.
func ModelMissingText(model, team string) string { return "" }

// LimitText says which limit of the key was hit: "qps", "qpm", "tpm" or "budget".
func LimitText(team, model, limit string, actual, most int64) string { return "" }
