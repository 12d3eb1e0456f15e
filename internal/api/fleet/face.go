// Package fleet is the face that gateways in other processes talk to, on the
// management listener. It decodes, authenticates, calls and encodes; what may
// happen is decided by control, and what a gateway gets by the feed.
//
// A member speaks for itself alone: the gateway id and the cluster of every call
// are those of its membership, whatever the call says. The membership is looked
// up with every call and every poll, so that a forgotten member is refused at
// its next one, on a stream that is open as well.
package fleet

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"connectrpc.com/connect"

	"gatehouse"
	wire "gatehouse/gen/fleet"
	"gatehouse/internal/control"
	"gatehouse/internal/feed"
	"gatehouse/internal/limit"
	"gatehouse/internal/meter"
	"gatehouse/internal/purse"
	"gatehouse/internal/store"
)

// Config is what the face speaks for; all but Limits is required.
type Config struct {
	Members   members
	Feed      feed.Feed  // the source
	Usage     meter.Sink // the ingester
	Object    func(ctx context.Context, id string) (meter.Object, error)
	Touch     func(ctx context.Context, uses []store.LastUse) error
	Limits    limit.Authority            // nil: gateways reach theirs elsewhere
	Bank      purse.Bank                 // control: who grants money
	Verifiers func() []ed25519.PublicKey // that batches may be signed by
	Sign      func(msg []byte) []byte    // as batches are
	Brand     string
	Log       *slog.Logger
	Stopping  <-chan struct{} // closed when the process is about to end: streams end with it
}

// members is control's part: who may speak.
type members interface {
	Join(context.Context, control.JoinRequest) (control.Joined, error)
	Member(context.Context, gatehouse.Token) (*gatehouse.Membership, error)
}

// Prefix is where the face is mounted.
const Prefix = "/gatehouse.fleet.v1.Fleet/"

// maxMessage bounds a message of a gateway: a run of its journal at most.
const maxMessage = 32 << 20

// Handler serves everything under Prefix.
func Handler(c Config) http.Handler {
	path, h := wire.NewFleetHandler(&face{c}, connect.WithReadMaxBytes(maxMessage), connect.WithInterceptors(refusals{c.Log}))
	if path != Prefix {
		panic("fleet: the service is called " + path) // generated code and this constant disagree: no request could be right
	}
	return &door{face: &face{c}, next: h, deny: connect.NewErrorWriter()}
}

// face implements wire.FleetHandler.
type face struct{ Config }

// Join implements wire.FleetHandler.
func (f *face) Join(ctx context.Context, r *wire.JoinRequest) (*wire.JoinReply, error) {
	who := caller(ctx)
	id, err := idOf(r.GetGatewayId())
	if err != nil {
		return nil, err
	}
	made, err := f.Members.Join(ctx, control.JoinRequest{
		Token: who.token, Gateway: id, SealKey: r.GetSealKey(), Version: clip(r.GetVersion()), IP: who.ip, RequestID: who.requestID,
	})
	if err != nil {
		return nil, err
	}
	reply := &wire.JoinReply{Credential: made.Credential.Reveal(), Cluster: made.Membership.Cluster, Brand: f.Brand}
	for _, k := range f.Verifiers() {
		reply.VerifyKeys = append(reply.VerifyKeys, k)
	}
	return reply, nil
}

// Follow implements wire.FleetHandler.
func (f *face) Follow(ctx context.Context, s *connect.BidiStream[wire.Poll, wire.SignedBatch]) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a stream would keep the listener open for as long as a stop may take
		select {
		case <-f.Stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		in, err := s.Receive()
		if err != nil {
			return nil // the gateway hung up, or its connection did
		}
		m, err := f.member(ctx, caller(ctx).token)
		if err != nil {
			return err
		}
		p, err := pollOf(in, m)
		if err != nil {
			return err
		}
		out, err := f.Feed.Pull(ctx, p)
		if err != nil {
			return f.unlessStopping(err)
		}
		if err := s.Send(&wire.SignedBatch{Payload: out.Payload, Signature: out.Signature}); err != nil {
			return nil
		}
	}
}

// unlessStopping is the error, or what sends a gateway to another node at once.
func (f *face) unlessStopping(err error) error {
	select {
	case <-f.Stopping:
		return gatehouse.Errorf(gatehouse.Unavailable, "this control node is stopping")
	default:
		return err
	}
}

// member is who the token proves. That it proves nobody is said under the
// installation's signature: a gateway stops serving by it, and must not by the 401
// of a proxy.
func (f *face) member(ctx context.Context, token gatehouse.Token) (*gatehouse.Membership, error) {
	m, err := f.Members.Member(ctx, token)
	if gatehouse.CodeOf(err) == gatehouse.Unauthenticated {
		err = &forgotten{err, f.Sign(feed.Forgotten(token.Digest()))}
	}
	return m, err
}

// forgotten is a refusal with the signature that proves it.
type forgotten struct {
	error
	signature []byte
}

// Unwrap gives the refusal.
func (f *forgotten) Unwrap() error { return f.error }

// Ship implements wire.FleetHandler.
func (f *face) Ship(ctx context.Context, r *wire.ShipRequest) (*wire.ShipReply, error) {
	b, err := batchOf(r.GetBatch(), caller(ctx).member)
	if err != nil {
		return nil, err
	}
	return new(wire.ShipReply), f.Usage.Ingest(store.System(ctx), b)
}

// Object implements wire.FleetHandler.
func (f *face) Object(ctx context.Context, r *wire.ObjectRequest) (*wire.ObjectReply, error) {
	o, err := f.Config.Object(store.System(ctx), r.GetId())
	if err != nil {
		return nil, err
	}
	return &wire.ObjectReply{Id: o.ID, TeamId: o.TeamID[:], UpstreamId: o.UpstreamID[:], Model: o.Model, Created: o.CreateTime.UnixNano()}, nil
}

// Touch implements wire.FleetHandler.
func (f *face) Touch(ctx context.Context, r *wire.TouchRequest) (*wire.TouchReply, error) {
	uses, err := usesOf(r)
	if err != nil {
		return nil, err
	}
	return new(wire.TouchReply), f.Config.Touch(store.System(ctx), uses)
}

// Leave implements wire.FleetHandler. There is nothing to undo: what a gateway
// holds ends by itself, and until then it may come back.
func (f *face) Leave(ctx context.Context, _ *wire.LeaveRequest) (*wire.LeaveReply, error) {
	m := caller(ctx).member
	f.Log.Info("a gateway leaves", "gateway", m.ID.String(), "cluster", m.Cluster)
	return new(wire.LeaveReply), nil
}

// who is behind a call.
type who struct {
	token     gatehouse.Token
	member    *gatehouse.Membership // nil for Join
	ip        netip.Addr
	requestID string
}

type whoKey struct{}

func caller(ctx context.Context) *who { return ctx.Value(whoKey{}).(*who) }

// memberTime bounds finding out who calls.
const memberTime = 5 * time.Second
