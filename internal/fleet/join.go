package fleet

import (
	"context"
	"crypto/tls"
	"strings"
	"time"

	"gatehouse"
	wire "gatehouse/gen/fleet"
	"gatehouse/internal/feed"
)

// JoinConfig is what a process that is to become a gateway knows.
type JoinConfig struct {
	Dir     string       // data directory, where the identity will be
	Control []string     // base URLs, any of them
	Token   string       // as the operator got it
	Gateway gatehouse.ID // the process's own, from its data directory
	Version string
	TLS     *tls.Config // nil: the system's roots
}

// joinTime bounds one attempt.
const joinTime = 15 * time.Second

// Join makes this process a gateway and keeps what it got in c.Dir. It may be
// asked again after any failure: the same use of the token counts once.
func Join(ctx context.Context, c JoinConfig) (*Identity, error) {
	brand, ok := brandOf(c.Token, gatehouse.Join)
	token, err := gatehouse.ParseToken(brand, c.Token)
	if !ok || err != nil {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "the join token is not one: a gthj_… from join-tokens create")
	}
	s, err := begin(c.Dir, c.Gateway)
	if err != nil {
		return nil, err
	}
	reply, err := askJoin(ctx, c, s, token)
	if err != nil {
		return nil, err
	}
	s.Cluster, s.Brand, s.Credential = reply.GetCluster(), reply.GetBrand(), reply.GetCredential()
	s.Verifiers = reply.GetVerifyKeys()
	id, err := s.identity(c.Dir)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "control's answer to the join is not usable").Because(err)
	}
	return id, s.write(c.Dir)
}

func askJoin(ctx context.Context, c JoinConfig, s *stored, token gatehouse.Token) (reply *wire.JoinReply, err error) {
	half := &stored{SealKey: s.SealKey}
	key, err := half.sealPublic()
	if err != nil {
		return nil, err
	}
	nodes, err := dial(c.Control, c.TLS, token)
	if err != nil {
		return nil, err
	}
	defer nodes.close()
	err = nodes.each(ctx, joinTime, func(ctx context.Context, n *node) (err error) {
		reply, err = n.rpc.Join(ctx, &wire.JoinRequest{GatewayId: c.Gateway[:], SealKey: key, Version: c.Version, Wire: feed.Wire})
		return err
	})
	return reply, err
}

// brandOf reads the brand out of a token: a process that has not joined does
// not know it.
func brandOf(token string, plane gatehouse.Plane) (string, bool) {
	prefix, _, ok := strings.Cut(token, "_")
	brand, of := strings.CutSuffix(prefix, string(rune(plane)))
	return brand, ok && of
}
