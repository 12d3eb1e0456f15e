// Package observe lets operators see the program from outside: traces and
// metrics over OTLP, for those who configure it, and the readings that alarms
// are written from.
//
// # What never leaves
//
// A span has no body, no prompt, no token and no secret, no address of a client
// and no header but the trace context. The public id of a key is an attribute
// of spans, where one more value costs nothing; it is never a label of a
// metric, where each would be a series for ever.
//
// # Why requests do not notice
//
// A settled request becomes two finished spans that are put into a bounded
// queue, without waiting: when the collector is slow or away, the queue fills
// and spans are dropped and counted ([Telemetry.Dropped]). Nothing on the path
// of a request reads what the exporter said. Spans are made after the request,
// from what the gateway then knows, so an unsampled request costs one decision.
//
// # Which conventions
//
// OpenTelemetry's for HTTP and for generative AI. The latter have left the core
// repository without a release of their own, so semconv.go has our own
// constants, with the schema URL of the last release that contained them.
package observe
