package rpc

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers itself
	"google.golang.org/grpc/mem"
)

// maxMessage is the size of one message in either direction: what xAI's SDK
// sends and takes.
const maxMessage = 20 << 20

// Server answers gRPC calls by the gateway's routes, and leaves all else to the
// gateway.
type Server struct {
	gateway http.Handler
	grpc    *grpc.Server
	log     *slog.Logger
	held    atomic.Int64 // see tap
}

// New makes a handler in front of a gateway.
func New(gateway http.Handler, log *slog.Logger) *Server {
	s := &Server{gateway: gateway, log: log}
	s.grpc = grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.ForceServerCodecV2(unread{encoding.GetCodecV2("proto")}),
		grpc.UnknownServiceHandler(unknown),
	)
	for _, svc := range offered {
		s.grpc.RegisterService(svc.desc(s), nil)
	}
	return s
}

// ServeHTTP tells calls from requests, which share a listener: over HTTP/1 by
// one comparison.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 || !isGRPC(r.Header) {
		s.gateway.ServeHTTP(w, r)
		return
	}
	e := newEdge(w, r, &s.held)
	defer e.leave()
	inner := r.WithContext(context.WithValue(r.Context(), edgeKey{}, e))
	inner.Body = &e.tap
	s.grpc.ServeHTTP(w, inner)
}

func isGRPC(h http.Header) bool {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+")
}

// unread hands messages on as bytes: the library would call one that is
// malformed an internal error. A buffer is the receiver's to free.
type unread struct{ encoding.CodecV2 }

// Unmarshal implements encoding.CodecV2.
func (unread) Unmarshal(in mem.BufferSlice, out any) error {
	if pooled, ok := out.(*mem.Buffer); ok {
		*pooled = in.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	}
	*out.(*[]byte) = in.Materialize()
	return nil
}
