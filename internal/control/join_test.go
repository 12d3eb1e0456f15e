package control_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/store"
)

// fleet is an installation with a cluster to join.
func fleet(t *testing.T) *house {
	t.Helper()
	h := open(t)
	if _, err := h.root().PutCluster(t.Context(), &gatehouse.Cluster{Name: "east"}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) joinToken(t *testing.T, uses int) gatehouse.MintedJoinToken {
	t.Helper()
	m, err := h.root().CreateJoinToken(t.Context(), gatehouse.NewJoinToken{Cluster: "east", Uses: uses})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// asking is the request of a process that has a seal key of its own.
func asking(token gatehouse.Token) control.JoinRequest {
	id := gatehouse.NewID()
	return control.JoinRequest{Token: token, Gateway: id, SealKey: bytes.Repeat(id[:1], 32), Version: "v1"}
}

func (h *house) refuses(t *testing.T, code gatehouse.Code, r control.JoinRequest) {
	t.Helper()
	if _, err := h.Join(t.Context(), r); !errors.Is(err, code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

func TestAProcessThatJoinsIsAMemberByItsCredentialAlone(t *testing.T) {
	h := fleet(t)
	r := asking(h.joinToken(t, 1).Secret)
	in, err := h.Join(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if in.Membership.ID != r.Gateway || in.Membership.Cluster != "east" || !bytes.Equal(in.Membership.SealKey, r.SealKey) || in.Membership.Digest != (gatehouse.Digest{}) {
		t.Errorf("membership %+v", in.Membership)
	}
	m, err := h.Member(t.Context(), in.Credential)
	if err != nil || m.ID != r.Gateway {
		t.Fatalf("%+v, %v", m, err)
	}
	for _, not := range []gatehouse.Token{
		{}, r.Token, h.first.Token, gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Member, r.Gateway),
		gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Member, gatehouse.NewID()),
	} {
		if _, err := h.Member(t.Context(), not); !errors.Is(err, gatehouse.Unauthenticated) {
			t.Errorf("a credential of plane %c: %v", not.Plane(), err)
		}
	}
}

func TestAJoinTokenIsWorthItsUsesAndNoMore(t *testing.T) {
	h := fleet(t)
	m := h.joinToken(t, 3)
	var won, lost int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := h.Join(t.Context(), asking(m.Secret))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if errors.Is(err, gatehouse.Unauthenticated) {
				lost++
			}
		})
	}
	wg.Wait()
	got, err := h.root().GetJoinToken(t.Context(), m.Token.ID)
	if err != nil || won != 3 || lost != 5 || got.Used != 3 {
		t.Errorf("%d joined, %d were refused, %+v, %v", won, lost, got, err)
	}
}

func TestWhoProvesNothingDoesNotJoin(t *testing.T) {
	h := fleet(t)
	m := h.joinToken(t, 9)
	h.refuses(t, gatehouse.Unauthenticated, asking(gatehouse.Token{}))
	h.refuses(t, gatehouse.Unauthenticated, asking(h.first.Token))
	h.refuses(t, gatehouse.Unauthenticated, asking(gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Join, m.Token.ID)))
	h.refuses(t, gatehouse.Unauthenticated, asking(gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Join, gatehouse.NewID())))
	short := asking(m.Secret)
	short.SealKey = short.SealKey[:31]
	h.refuses(t, gatehouse.InvalidArgument, short)
	nobody := asking(m.Secret)
	nobody.Gateway = gatehouse.ID{}
	h.refuses(t, gatehouse.InvalidArgument, nobody)
	h.clock.advance(gatehouse.DefaultJoinLifetime)
	h.refuses(t, gatehouse.Unauthenticated, asking(m.Secret))
	revoked := h.joinToken(t, 9)
	if err := h.root().RevokeJoinToken(t.Context(), revoked.Token.ID); err != nil {
		t.Fatal(err)
	}
	h.refuses(t, gatehouse.Unauthenticated, asking(revoked.Secret))
	gone := h.joinToken(t, 9)
	if err := h.root().DeleteCluster(t.Context(), "east"); err != nil {
		t.Fatal(err)
	}
	h.refuses(t, gatehouse.FailedPrecondition, asking(gone.Secret))
}

// The answer to a join can be lost: the same process asks again, by the same
// token, even one that was good for one use, and nobody else can.
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	h := fleet(t)
	m := h.joinToken(t, 1)
	r := asking(m.Secret)
	lost, err := h.Join(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Join(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Member(t.Context(), again.Credential); err != nil {
		t.Error(err)
	}
	if _, err := h.Member(t.Context(), lost.Credential); !errors.Is(err, gatehouse.Unauthenticated) {
		t.Errorf("the lost credential: %v", err)
	}
	if got, _ := h.root().GetJoinToken(t.Context(), m.Token.ID); got.Used != 1 {
		t.Errorf("used %d times", got.Used)
	}
	other := r
	other.SealKey = bytes.Repeat([]byte{9}, 32)
	h.refuses(t, gatehouse.AlreadyExists, other)
	other = r
	other.Token = h.joinToken(t, 1).Secret
	h.refuses(t, gatehouse.AlreadyExists, other)
	if err := h.root().RevokeJoinToken(t.Context(), m.Token.ID); err != nil {
		t.Fatal(err)
	}
	h.refuses(t, gatehouse.Unauthenticated, r)
	if _, err := h.Member(t.Context(), again.Credential); err != nil {
		t.Errorf("revoking the token ended its member: %v", err)
	}
}

// Forgetting ends the membership with the gateway, also of one that runs, and
// the id never comes back.
func TestAForgottenGatewayIsOutAtOnceAndForEver(t *testing.T) {
	h := fleet(t)
	m := h.joinToken(t, 5)
	r := asking(m.Secret)
	in, err := h.Join(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	h.sees(t, &gatehouse.Gateway{ID: r.Gateway, Cluster: "east"})
	if err := h.root().ForgetGateway(t.Context(), r.Gateway); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Member(t.Context(), in.Credential); !errors.Is(err, gatehouse.Unauthenticated) {
		t.Errorf("still a member: %v", err)
	}
	h.refuses(t, gatehouse.FailedPrecondition, r)
	if g, err := h.root().GetGateway(t.Context(), r.Gateway); err != nil || !g.Forgotten {
		t.Errorf("gateway %+v, %v", g, err)
	}
	if err := h.root().ForgetGateway(t.Context(), r.Gateway); !errors.Is(err, gatehouse.NotFound) {
		t.Errorf("forgotten twice: %v", err)
	}
}

// One that joined and never reported has no state, and can be forgotten too.
func TestAMemberThatNeverReportedCanBeForgotten(t *testing.T) {
	h := fleet(t)
	in, err := h.Join(t.Context(), asking(h.joinToken(t, 1).Secret))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.root().ForgetGateway(t.Context(), in.Membership.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Member(t.Context(), in.Credential); !errors.Is(err, gatehouse.Unauthenticated) {
		t.Errorf("still a member: %v", err)
	}
}

// The gateway of a single process has no membership. While it runs nobody takes
// its id; silent, it may become a member of its own cluster.
func TestASingleProcessBecomesAMemberOnceItIsSilent(t *testing.T) {
	h := fleet(t)
	r := asking(h.joinToken(t, 5).Secret)
	h.sees(t, &gatehouse.Gateway{ID: r.Gateway, Cluster: "east"})
	h.refuses(t, gatehouse.AlreadyExists, r)
	h.clock.advance(time.Minute)
	if _, err := h.Join(t.Context(), r); err != nil {
		t.Error(err)
	}
	far := asking(h.joinToken(t, 5).Secret)
	h.sees(t, &gatehouse.Gateway{ID: far.Gateway, Cluster: "west"})
	h.clock.advance(time.Minute)
	h.refuses(t, gatehouse.AlreadyExists, far)
}

// Joins are in the log with the token as their author, refusals too, and no
// secret is in any leaf.
func TestJoinsAreAudited(t *testing.T) {
	h := fleet(t)
	m := h.joinToken(t, 1)
	in, err := h.Join(t.Context(), asking(m.Secret))
	if err != nil {
		t.Fatal(err)
	}
	h.clock.advance(time.Minute)
	h.refuses(t, gatehouse.Unauthenticated, asking(m.Secret))
	h.refuses(t, gatehouse.Unauthenticated, asking(m.Secret)) // within the same second: the log alone
	count := map[string]int{}
	err = h.root().ExportAudit(t.Context(), 0, 1000, func(l gatehouse.AuditLeaf) error {
		for _, action := range []string{"join_token.created", "join_token.used", "gateway.joined", "gateway.refused"} {
			if bytes.Contains(l.Body, []byte(`"`+action+`"`)) {
				count[action]++
				if action[0] == 'g' && !bytes.Contains(l.Body, []byte(`"gateway","keyId":"`+m.Token.ID.String())) {
					t.Errorf("%s by somebody else: %s", action, l.Body)
				}
			}
		}
		for _, secret := range []gatehouse.Token{m.Secret, in.Credential} {
			if strings.Contains(string(l.Body), secret.Reveal()[6:]) {
				t.Error("a secret is in the log")
			}
		}
		return nil
	})
	if err != nil || len(count) != 4 || count["gateway.refused"] != 1 {
		t.Errorf("actions %v, %v", count, err)
	}
}

// A repeat of the request by its Idempotency-Key shows the same token again.
func TestAJoinTokenIsReplayedByItsIdempotencyKey(t *testing.T) {
	h := fleet(t)
	call := gatehouse.Call{Token: h.first.Token, IdempotencyKey: "once"}
	a, err := h.As(&call).CreateJoinToken(t.Context(), gatehouse.NewJoinToken{Cluster: "east"})
	if err != nil {
		t.Fatal(err)
	}
	call.Committed = nil
	b, err := h.As(&call).CreateJoinToken(t.Context(), gatehouse.NewJoinToken{Cluster: "east"})
	if err != nil || a.Secret.Reveal() != b.Secret.Reveal() || a.Token.ID != b.Token.ID {
		t.Errorf("%+v then %+v, %v", a.Token, b.Token, err)
	}
}

// sees is a gateway that reports now.
func (h *house) sees(t *testing.T, g *gatehouse.Gateway) {
	t.Helper()
	g.Joined, g.LastSeen = h.clock.Now(), h.clock.Now()
	if err := h.store.Work(t.Context(), func(w store.Work) error { return w.SeenGateway(g) }); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkMember(b *testing.B) {
	h := open(b)
	if _, err := h.root().PutCluster(b.Context(), &gatehouse.Cluster{Name: "east"}); err != nil {
		b.Fatal(err)
	}
	m, err := h.root().CreateJoinToken(b.Context(), gatehouse.NewJoinToken{Cluster: "east"})
	if err != nil {
		b.Fatal(err)
	}
	in, err := h.Join(b.Context(), asking(m.Secret))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := h.Member(b.Context(), in.Credential); err != nil {
			b.Fatal(err)
		}
	}
}
