// Package conformance runs the official SDKs of OpenAI and Anthropic, in Python,
// Node and Go, xAI's own in Python, which speaks gRPC, and @ai-sdk/xai, unchanged
// against a running Gatehouse. The
// clients live in python/, node/ and goclient/; each prints a line per case.
package conformance
