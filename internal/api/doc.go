// Package api is the kit that every face of the management plane stands on:
// who is asking, what exactly was asked, and how an error is told. A face adds
// the translation of one dialect and nothing else.
//
// Requests are judged in one order, because scripts depend on it and because a
// caller who may not ask must not learn from how we misunderstand it: route
// 404, credential 401, rate 429, scope 403 naming the scope, then 413, 415 and
// 400 for what was sent, and only then 404 for an id.
//
// Bodies and queries are scanned strictly here before protojson sees them:
// protojson would take the last of two equal members and answer a typo in a
// way that names nothing, and grpc-gateway ignores query parameters that it
// does not know. "acl" for "acls" would then mint a key that can do nothing,
// or, in a ceiling, one that can do all.
//
// A form with a file is judged as it arrives and spooled to disk, so that a large
// one costs no memory; what it means is decided when it is whole.
//
// What a route is, and which members it takes, is read from the descriptors of
// the generated code, so that there is no second table to keep in step.
//
// What also answers gRPC does so on the same listener, told apart by its
// content type, with the same structs and after the same judgement: the caller
// before the message is read, and unknown fields refused by their numbers.
package api
