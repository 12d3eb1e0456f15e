package rpc

import (
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// service is a service of package xai_api and what it offers.
type service struct {
	name    string
	methods []method
}

// offered are the services that answer.
var offered = []service{auth, models, tokenizer, embedder, chat, files, documents}

// refused are the methods that xAI's SDK may call and that answer UNIMPLEMENTED,
// with what to do instead. What is neither here nor offered is unknown, and
// UNIMPLEMENTED as well.
var refused = map[string]string{
	"Chat/StartDeferredCompletion": "deferred completions cannot be metered; use GetCompletion",
	"Chat/GetDeferredCompletion":   "deferred completions cannot be metered; use GetCompletion",
	"Chat/GetStoredCompletion":     "completions are not stored; keep the conversation and send it again",
	"Chat/DeleteStoredCompletion":  "completions are not stored",
	"Chat/CompactContext":          "contexts are not compacted; send the messages that matter",
	"Image/*":                      "use POST /v1/images/generations",
	"Video/*":                      "videos are not made here",
	"BatchMgmt/*":                  "batches are not run here; send the requests one by one",
	"Sample/*":                     "use POST /v1/completions, or Chat",
}

// desc is what the library knows of a service. Every method is a stream to it:
// it would read the message of any other before asking who sends it.
func (v service) desc(s *Server) *grpc.ServiceDesc {
	d := &grpc.ServiceDesc{ServiceName: "xai_api." + v.name, HandlerType: (*any)(nil)}
	for _, m := range v.methods {
		d.Streams = append(d.Streams, grpc.StreamDesc{
			StreamName: m.name, ServerStreams: m.frame != nil || m.piece != nil, ClientStreams: m.form,
			Handler: func(_ any, ss grpc.ServerStream) error { return s.answer(&m, ss) },
		})
	}
	return d
}

// unknown answers what is not offered.
func unknown(_ any, ss grpc.ServerStream) error {
	path, _ := grpc.MethodFromServerStream(ss)
	name := strings.TrimPrefix(path, "/xai_api.")
	head, _, _ := strings.Cut(name, "/")
	instead, ok := refused[name]
	if !ok {
		instead, ok = refused[head+"/*"]
	}
	if !ok {
		return status.Errorf(codes.Unimplemented, "There is no method %s here.", clip(path))
	}
	return status.Errorf(codes.Unimplemented, "%s is not offered by this gateway: %s.", name, instead)
}
