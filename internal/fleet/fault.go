package fleet

import (
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"connectrpc.com/connect"

	"gatehouse"
	"gatehouse/internal/feed"
)

// RetryHeader carries, in milliseconds, when a refused call may be made again.
const RetryHeader = "Gatehouse-Retry-After-Ms"

// CodeHeader carries the code of a refusal, which is finer than the wire's.
const CodeHeader = "Gatehouse-Code"

// ForgottenHeader carries, in base64, control's signature on [feed.Forgotten] for
// the credential that it refuses.
const ForgottenHeader = "Gatehouse-Forgotten"

// dismissal is a refusal's claim that control has forgotten the caller. It proves
// nothing until its signature does.
type dismissal struct{ signature []byte }

// Error implements error.
func (d *dismissal) Error() string { return "control says that this gateway is no member" }

// dismissed tells, of an error of a call, whether control has truly forgotten this
// gateway: the signature must be by the keys that batches are signed by, so that
// nothing between the two can stop a gateway by an answer of its own.
func (i *Identity) dismissed(err error) error {
	var d *dismissal
	if errors.As(err, &d) && i.VerifyBatch(feed.Forgotten(i.credential.Digest()), d.signature) {
		return gatehouse.Errorf(gatehouse.Unauthenticated, "control refuses this gateway").Because(feed.ErrForgotten)
	}
	return err
}

// fault is an error of a call as the rest of the program knows errors. What no
// control node said, because none answered, is Unavailable.
func fault(err error) error {
	if err == nil {
		return nil
	}
	var e *connect.Error
	if !errors.As(err, &e) || !connect.IsWireError(err) {
		return gatehouse.Errorf(gatehouse.Unavailable, "control is not to be reached").Because(err)
	}
	code := gatehouse.Code(e.Meta().Get(CodeHeader))
	if code == "" {
		// Not from our face: a proxy in between, or another program altogether.
		return gatehouse.Errorf(gatehouse.Unavailable, "what answers for control is not control").Because(err)
	}
	out := gatehouse.Errorf(code, "control: %s", e.Message())
	if ms, err := strconv.ParseInt(e.Meta().Get(RetryHeader), 10, 32); err == nil && ms > 0 {
		out = out.After(time.Duration(ms) * time.Millisecond)
	}
	if signature, err := base64.StdEncoding.DecodeString(e.Meta().Get(ForgottenHeader)); err == nil && len(signature) > 0 {
		out = out.Because(&dismissal{signature})
	}
	return out
}

// away reports whether err says that a node is not there, rather than what a
// node decided. A node that waits for its own database is away too.
func away(err error) bool {
	switch gatehouse.CodeOf(err) {
	case gatehouse.Unavailable, gatehouse.DeadlineExceeded, gatehouse.Internal:
		return RetryAfter(err) == 0
	}
	return false
}

// RetryAfter is when err says that a call may be made again; zero when it does
// not say.
func RetryAfter(err error) time.Duration {
	var e *gatehouse.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
