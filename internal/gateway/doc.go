// Package gateway is the data plane: it admits a request from what the replica
// knows, forwards the bytes it judged, streams the answer back and settles.
//
// # The path of a request
//
// admit reads the credential, the route, the body and the limits, and makes the
// only value that forward takes: what was not admitted cannot be dispatched.
// forward writes the journal's open record, picks an upstream, sends, and tries
// another one as long as no byte reached the client. relay passes the answer on
// while a tap reads its usage. settle runs deferred, whatever happened: limits
// corrected, record closed, one log line.
//
// # What the safety argument rests on
//
//   - The bytes that were scanned are the bytes that are sent; they are read
//     whole before anything is decided.
//   - The open record is written before the first upstream byte, and closed
//     exactly once, in a deferred call that no client can cancel.
//   - Cannot tell is 503, never 401 and never 200.
//   - A connection to an upstream is used again only when its last answer was
//     read to a well-formed end and nothing came after it.
//   - An answer that breaks off ends, for the client, with an error event and a
//     broken connection. [DONE] is never forged.
//
// # Why upstream connections are made by hand
//
// http.Transport runs two goroutines per connection and hands every request and
// every answer over between them, about 11 µs of a request that costs 30. An
// exchange here writes and reads on the goroutine of the request. HTTP/2 and
// proxies, where that is not the cost that matters, go through http.Transport.
package gateway
