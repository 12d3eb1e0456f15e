// Package conformance runs the official SDKs of OpenAI and Anthropic, in Python,
// Node and Go, and @ai-sdk/xai, unchanged against a running Gatehouse. The
// clients live in python/, node/ and goclient/; each prints a line per case.
package conformance
