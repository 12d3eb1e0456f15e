package observe

import "go.opentelemetry.io/otel/attribute"

// schemaURL is of the last release of the semantic conventions with the GenAI
// attributes. Later ones moved them to a repository that has released nothing;
// a backend that knows the schema can translate from here.
const schemaURL = "https://opentelemetry.io/schemas/1.41.0"

// scope names who made spans and instruments.
const scope = "gatehouse"

// The attributes that are written, and no other. What begins with gatehouse is
// ours.
const (
	httpMethod     = attribute.Key("http.request.method")
	httpRoute      = attribute.Key("http.route")
	httpStatus     = attribute.Key("http.response.status_code")
	errorType      = attribute.Key("error.type")
	serverAddress  = attribute.Key("server.address")
	serverPort     = attribute.Key("server.port")
	genOperation   = attribute.Key("gen_ai.operation.name")
	genProvider    = attribute.Key("gen_ai.provider.name")
	genModel       = attribute.Key("gen_ai.request.model")
	genStream      = attribute.Key("gen_ai.request.stream")
	genInput       = attribute.Key("gen_ai.usage.input_tokens")
	genOutput      = attribute.Key("gen_ai.usage.output_tokens")
	genCacheRead   = attribute.Key("gen_ai.usage.cache_read.input_tokens")
	genCacheWrite  = attribute.Key("gen_ai.usage.cache_creation.input_tokens")
	genReasoning   = attribute.Key("gen_ai.usage.reasoning.output_tokens")
	genFirstChunk  = attribute.Key("gen_ai.response.time_to_first_chunk") // seconds; the conventions' TTFT
	genTokenType   = attribute.Key("gen_ai.token.type")
	requestID      = attribute.Key("gatehouse.request.id")
	recordID       = attribute.Key("gatehouse.record.id")
	teamID         = attribute.Key("gatehouse.team.id")
	keyID          = attribute.Key("gatehouse.api_key.id")
	askedModel     = attribute.Key("gatehouse.asked_model") // when it was an alias
	upstreamName   = attribute.Key("gatehouse.upstream")
	attempts       = attribute.Key("gatehouse.attempts")
	outcome        = attribute.Key("gatehouse.outcome")
	estimatedUsage = attribute.Key("gatehouse.usage.estimated")
	operation      = attribute.Key("gatehouse.operation") // of the management plane
)

// The instruments of the conventions; everything else is the Prometheus series
// under their own names.
const (
	tokenUsage        = "gen_ai.client.token.usage"
	operationDuration = "gen_ai.client.operation.duration"
	timeToFirstChunk  = "gen_ai.client.operation.time_to_first_chunk"
)

// The histograms' boundaries are the conventions' own: dashboards that people
// bring assume them.
var (
	tokenBounds    = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
	durationBounds = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	chunkBounds    = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0}
)
