// Package rpc is the gateway's gRPC face: the services of package xai_api that
// the official SDK calls, on the gateway's own listener.
//
// # One way in
//
// A call becomes the request of a REST route and goes through the gateway's
// handler in this process, with the caller's own headers: it is authenticated,
// authorised, limited, forwarded, metered and logged there and nowhere else. The
// message is read when the gateway reads the body, after it has judged the
// credential; what the gateway writes, whole or frame by frame, becomes messages
// again. A client that leaves does so on the request's context. One that streams
// is read message by message, as the gateway reads the form that they become.
//
// # As it came
//
// A chat keeps its message beside that body. Where the gateway chooses an upstream
// that speaks gRPC itself, the message is sent in the body's stead (native.go), and
// the answer is written as one to the body, a frame for each message, which waits
// here until the gateway passes its frame on: so there is one tap and one
// settlement.
//
// # Nothing is dropped
//
// What a message may carry is listed, field by field (in known.go: honoured, and
// carried where the upstream speaks gRPC). Whatever else is set, unknown fields
// and values too, is refused by name with INVALID_ARGUMENT. What the gateway does
// not offer is listed in services.go and answers UNIMPLEMENTED.
// docs/reference/grpc.md has both lists.
//
// # Adding a service
//
// Write its methods as a table like the one in models.go, add it to offered in
// services.go, and strike it from refused.
package rpc
