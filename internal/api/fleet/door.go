package fleet

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"gatehouse"
	client "gatehouse/internal/fleet"
)

// door finds out who calls before a byte of the call is decoded.
type door struct {
	*face
	next http.Handler
	deny *connect.ErrorWriter
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, err := d.identify(r)
	if err != nil {
		if writeErr := d.deny.Write(w, r, refusal(err)); writeErr != nil {
			http.Error(w, "", http.StatusBadRequest)
		}
		return
	}
	d.next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), whoKey{}, who)))
}

func (d *door) identify(r *http.Request) (*who, error) {
	plane := gatehouse.Member
	if r.URL.Path == Prefix+"Join" {
		plane = gatehouse.Join
	}
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	token, err := gatehouse.ParseToken(d.Brand, text)
	if !ok || err != nil || token.Plane() != plane {
		return nil, gatehouse.Errorf(gatehouse.Unauthenticated, "this call takes another credential")
	}
	out := &who{token: token, requestID: gatehouse.NewID().String()}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		out.ip = at.Addr().Unmap()
	}
	if plane == gatehouse.Join {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), memberTime)
	defer cancel()
	out.member, err = d.face.member(ctx, token)
	return out, err
}

// refusals turns what the program says into what the wire can say, and logs
// what nobody classified.
type refusals struct{ log *slog.Logger }

// WrapUnary implements connect.Interceptor.
func (i refusals) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
		reply, err := next(ctx, r)
		if err != nil {
			return nil, i.refuse(ctx, err, r.Spec().Procedure)
		}
		return reply, nil
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (i refusals) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (i refusals) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := next(ctx, conn); err != nil {
			return i.refuse(ctx, err, conn.Spec().Procedure)
		}
		return nil
	}
}

func (i refusals) refuse(ctx context.Context, err error, procedure string) error {
	if gatehouse.CodeOf(err) == gatehouse.Internal && ctx.Err() == nil {
		i.log.Error("a call of a gateway failed", "call", procedure, "err", err)
	}
	return refusal(err)
}

// codes is what the wire calls each of our codes. The finer one goes in a header.
var codes = map[gatehouse.Code]connect.Code{
	gatehouse.InvalidArgument:    connect.CodeInvalidArgument,
	gatehouse.Unauthenticated:    connect.CodeUnauthenticated,
	gatehouse.PermissionDenied:   connect.CodePermissionDenied,
	gatehouse.NotFound:           connect.CodeNotFound,
	gatehouse.AlreadyExists:      connect.CodeAlreadyExists,
	gatehouse.FailedPrecondition: connect.CodeFailedPrecondition,
	gatehouse.Conflict:           connect.CodeAborted,
	gatehouse.ResourceExhausted:  connect.CodeResourceExhausted,
	gatehouse.Unprocessable:      connect.CodeInvalidArgument,
	gatehouse.Unimplemented:      connect.CodeUnimplemented,
	gatehouse.Unavailable:        connect.CodeUnavailable,
	gatehouse.DeadlineExceeded:   connect.CodeDeadlineExceeded,
	gatehouse.Internal:           connect.CodeInternal,
}

// refusal is err in public words.
func refusal(err error) *connect.Error {
	code := gatehouse.CodeOf(err)
	out := connect.NewError(codes[code], publicly(gatehouse.Public(err)))
	out.Meta().Set(client.CodeHeader, string(code))
	if after := client.RetryAfter(err); after > 0 {
		out.Meta().Set(client.RetryHeader, strconv.FormatInt(max(after.Milliseconds(), 1), 10))
	}
	var gone *forgotten
	if errors.As(err, &gone) {
		out.Meta().Set(client.ForgottenHeader, base64.StdEncoding.EncodeToString(gone.signature))
	}
	return out
}

type publicly string

func (p publicly) Error() string { return string(p) }
