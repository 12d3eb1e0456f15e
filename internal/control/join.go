package control

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// sealKeyLen is that of an X25519 public key in bytes.
const sealKeyLen = 32

// JoinRequest is what a process says to become a gateway. Nobody's management
// key is in it: the join token is all its authority.
type JoinRequest struct {
	Token   gatehouse.Token // of plane Join; parsed, proves nothing yet
	Gateway gatehouse.ID    // chosen by the process and kept in its data directory
	SealKey []byte          // X25519 public key, 32 bytes
	Version string
	// IP and RequestID are for the audit log.
	IP        netip.Addr
	RequestID string
}

// Joined is what it gets. Credential is shown this once; in the store it is a
// digest.
type Joined struct {
	Membership *gatehouse.Membership
	Credential gatehouse.Token // of plane Member
}

// What a process learns of a token that proves nothing; one text for unknown
// ids and wrong secrets.
const (
	badJoin   = "Invalid join token"
	badMember = "Not a member: this gateway is unknown here or was forgotten"
)

// Join makes a process a gateway of the token's cluster, and counts the use in
// the same transaction. Who proves nothing never reaches the writer.
//
// An answer can be lost on its way, and the token may have been good for one
// use. So the same process, known by its id and its seal key, may ask again by
// the same token until that expires or is revoked: it counts as the same use,
// and the credential that got lost ends. An id that was forgotten never comes
// back: what its journal and its acknowledgements stood for has been written off.
//
// Unauthenticated: no such token, or one that is over; it says which to who
// holds the token. AlreadyExists: the id is another member's. FailedPrecondition:
// the id was forgotten, or the cluster is gone.
func (s *Service) Join(ctx context.Context, r JoinRequest) (Joined, error) {
	if err := r.check(); err != nil {
		return Joined{}, err
	}
	err := s.Store.View(store.System(ctx), func(v store.View) error {
		_, err := s.joinTokenBy(v, r.Token)
		return err
	})
	if err != nil {
		s.Logger.WarnContext(ctx, "join refused", slog.String("ip", r.IP.String()), slog.String("request_id", r.RequestID),
			slog.String("why", string(gatehouse.CodeOf(err))))
		return Joined{}, err
	}
	credential := gatehouse.MintToken(s.Brand, gatehouse.Member, r.Gateway)
	var member *gatehouse.Membership
	_, err = s.Store.Update(store.System(ctx), r.cause(), func(tx store.Tx) (err error) {
		member, err = s.join(tx, r, credential.Digest())
		return err
	})
	if err != nil {
		s.refuseJoin(ctx, r, err)
		return Joined{}, err
	}
	return Joined{Membership: shownMember(member), Credential: credential}, nil
}

// check refuses what could not be a member, whoever asks.
func (r *JoinRequest) check() error {
	if r.Token.IsZero() || r.Token.Plane() != gatehouse.Join {
		return gatehouse.Errorf(gatehouse.Unauthenticated, badJoin)
	}
	var bad gatehouse.Violations
	if r.Gateway.IsZero() {
		bad.Addf("gateway", "is required")
	}
	if len(r.SealKey) != sealKeyLen {
		bad.Addf("sealKey", "must be %d bytes", sealKeyLen)
	}
	return bad.Err()
}

// cause is the author of a join: no person, but the token that let it in.
func (r *JoinRequest) cause() gatehouse.Cause {
	ip := ""
	if r.IP.IsValid() {
		ip = r.IP.Unmap().String()
	}
	return gatehouse.Cause{
		Actor:     gatehouse.Actor{Kind: gatehouse.ActorGateway, KeyID: r.Token.ID(), IP: ip},
		RequestID: r.RequestID,
	}
}

// joinTokenBy is the stored record that the token proves. An unknown id is
// compared too, with nothing, so that it takes as long as a wrong secret.
func (s *Service) joinTokenBy(v store.View, token gatehouse.Token) (*gatehouse.JoinToken, error) {
	t, err := found(v.JoinToken(token.ID()))
	if err != nil {
		return nil, err
	}
	var digest gatehouse.Digest
	if t != nil {
		digest = t.Digest
	}
	if !digest.Equal(token.Digest()) || t == nil {
		return nil, gatehouse.Errorf(gatehouse.Unauthenticated, badJoin)
	}
	return t, nil
}

// join decides and writes. It may run more than once.
func (s *Service) join(tx store.Tx, r JoinRequest, credential gatehouse.Digest) (*gatehouse.Membership, error) {
	t, err := s.joinTokenBy(tx, r.Token)
	if err != nil {
		return nil, err
	}
	now := utc(s.Now())
	if why := over(t, now); why != "" {
		return nil, gatehouse.Errorf(gatehouse.Unauthenticated, "The join token %s", why)
	}
	if err := s.clusterThere(tx, t.Cluster); err != nil {
		return nil, err
	}
	before, err := found(tx.Membership(r.Gateway))
	if err != nil {
		return nil, err
	}
	if before != nil {
		return s.rejoin(tx, r, t, before, credential)
	}
	if err := s.idFree(tx, r.Gateway, t.Cluster); err != nil {
		return nil, err
	}
	if !t.Usable(now) {
		return nil, gatehouse.Errorf(gatehouse.Unauthenticated, "The join token was used up")
	}
	used := *t
	used.Used++
	act := done("Join", "join_token.used", gatehouse.ID{}, gatehouse.KindJoinToken, t.ID.String(),
		fmt.Sprintf("A join token of cluster '%s' was used, %d of %d times", t.Cluster, used.Used, used.Uses))
	act.Details = map[string]string{"gateway": r.Gateway.String()}
	if err := tx.PutJoinToken(&used, act); err != nil {
		return nil, err
	}
	m := &gatehouse.Membership{
		ID: r.Gateway, Cluster: t.Cluster, Digest: credential, SealKey: slices.Clone(r.SealKey), JoinToken: t.ID, CreateTime: now,
	}
	return m, tx.PutMembership(m, memberAct("gateway.joined", m, r, "joined"))
}

// over says why nobody can use t, however often it was used; empty when it lives.
func over(t *gatehouse.JoinToken, now time.Time) string {
	switch {
	case !t.DeleteTime.IsZero():
		return "was revoked"
	case !now.Before(t.ExpireTime):
		return "has expired"
	}
	return ""
}

// rejoin gives a member that asks again another credential.
func (s *Service) rejoin(tx store.Tx, r JoinRequest, t *gatehouse.JoinToken, before *gatehouse.Membership, credential gatehouse.Digest) (*gatehouse.Membership, error) {
	if !before.DeleteTime.IsZero() {
		return nil, forgotten(r.Gateway)
	}
	if before.JoinToken != t.ID || before.Cluster != t.Cluster || !bytes.Equal(before.SealKey, r.SealKey) {
		return nil, gatehouse.Errorf(gatehouse.AlreadyExists, "gateway %s is a member already; forget it, or join under another id", r.Gateway)
	}
	m := *before
	m.Digest = credential
	return &m, tx.PutMembership(&m, memberAct("gateway.rejoined", &m, r, "joined again"))
}

// idFree refuses an id that a gateway without a membership has: that of a
// single process while it runs, and any that was forgotten. One that is silent
// may be taken up in its own cluster, which is how a single process becomes a
// member of a fleet with its journal.
func (s *Service) idFree(v store.View, id gatehouse.ID, cluster string) error {
	gateways, err := v.Gateways()
	if err != nil {
		return err
	}
	for _, g := range gateways {
		switch {
		case g.ID != id:
		case g.Forgotten:
			return forgotten(id)
		case g.Cluster != cluster || s.Now().Sub(g.LastSeen) < aliveWithin:
			return gatehouse.Errorf(gatehouse.AlreadyExists, "gateway %s is a member of cluster '%s' already", id, g.Cluster)
		}
	}
	return nil
}

func forgotten(id gatehouse.ID) error {
	return gatehouse.Errorf(gatehouse.FailedPrecondition, "gateway %s was forgotten; join under another id", id)
}

// clusterThere refuses a cluster that is gone.
func (s *Service) clusterThere(v store.View, cluster string) error {
	x, err := present(v.Cluster(cluster))
	if err == nil && x == nil {
		err = gatehouse.Errorf(gatehouse.FailedPrecondition, "the cluster '%s' is not there any more", cluster)
	}
	return err
}

// memberAct describes a join for the log.
func memberAct(action string, m *gatehouse.Membership, r JoinRequest, how string) gatehouse.Act {
	act := done("Join", action, gatehouse.ID{}, gatehouse.KindMembership, m.ID.String(),
		fmt.Sprintf("Gateway %s %s the cluster '%s'", m.ID, how, m.Cluster))
	act.Details = map[string]string{"joinToken": m.JoinToken.String(), "version": short(r.Version)}
	return act
}

// refuseJoin leaves a leaf about a token that is genuine and was refused, at
// most one a second: its holder must not be able to fill the log.
func (s *Service) refuseJoin(ctx context.Context, r JoinRequest, why error) {
	s.Logger.WarnContext(ctx, "join refused", slog.String("gateway", r.Gateway.String()), slog.String("ip", r.IP.String()),
		slog.String("request_id", r.RequestID), slog.String("why", gatehouse.Public(why)))
	if gatehouse.CodeOf(why) == gatehouse.Internal || !s.useless.told(r.Token.ID(), s.Now()) {
		return
	}
	_, err := s.Store.Update(store.System(ctx), r.cause(), func(tx store.Tx) error {
		return tx.Record(gatehouse.Act{
			Action: "gateway.refused", Operation: "Join", Kind: gatehouse.KindJoinToken, Subject: r.Token.ID().String(), Result: gatehouse.Denied,
			Description: fmt.Sprintf("Gateway %s was refused", r.Gateway), Details: map[string]string{"why": short(gatehouse.Public(why))},
		})
	})
	if err != nil {
		s.Logger.ErrorContext(ctx, "refusal not audited", slog.String("request_id", r.RequestID), slog.Any("error", err))
	}
}

// Member is the gateway that a Member token proves: Unauthenticated for one
// that is unknown, was forgotten, or whose cluster is gone. It asks the store
// every time, so that a gateway that was forgotten is refused at its next call.
func (s *Service) Member(ctx context.Context, token gatehouse.Token) (*gatehouse.Membership, error) {
	if token.IsZero() || token.Plane() != gatehouse.Member {
		return nil, gatehouse.Errorf(gatehouse.Unauthenticated, badMember)
	}
	var m *gatehouse.Membership
	err := s.Store.View(store.System(ctx), func(v store.View) (err error) {
		m, err = s.memberBy(v, token)
		return err
	})
	if err != nil {
		return nil, err
	}
	return shownMember(m), nil
}

// memberBy is the living membership that the token proves.
func (s *Service) memberBy(v store.View, token gatehouse.Token) (*gatehouse.Membership, error) {
	m, err := found(v.Membership(token.ID()))
	if err != nil {
		return nil, err
	}
	var digest gatehouse.Digest
	if m != nil {
		digest = m.Digest
	}
	if !digest.Equal(token.Digest()) || m == nil || !m.DeleteTime.IsZero() {
		return nil, gatehouse.Errorf(gatehouse.Unauthenticated, badMember)
	}
	if x, err := present(v.Cluster(m.Cluster)); err != nil || x == nil {
		return nil, first(gatehouse.Errorf(gatehouse.Unauthenticated, badMember), err)
	}
	return m, nil
}

// shownMember is a membership as the fleet's face gets it: without what
// identifies it.
func shownMember(m *gatehouse.Membership) *gatehouse.Membership {
	out := *m
	out.Digest = gatehouse.Digest{}
	return &out
}
