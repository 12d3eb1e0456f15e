// Package llm is what the data plane knows about the wire of model providers:
// which route is which, how a request body is admitted, where usage stands in
// an answer, and how an error is worded. It does no I/O and holds no state of
// its own, so that every rule here can be fuzzed.
//
// The path of a request through it: [Classify] names the route, [Scan] admits
// the body, [Body.Rewrite] makes the bytes for the upstream, a [Tap] watches
// the answer, [Result.Vector] is what gets billed. [Fault] and [ErrorBody] are
// every answer that is not the upstream's.
package llm
