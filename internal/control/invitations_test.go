package control_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/mail"
	"gatehouse/internal/mail/mailtest"
)

// The inviter sees the link, the invited gets it by mail, and the token in it
// makes a member with a key that is bounded as the inviter's is.
func TestAnInvitationMakesAMember(t *testing.T) {
	h := open(t)
	server := mailtest.Serve(t)
	sender, err := mail.New(mail.Config{Server: server.Addr, From: "gatehouse@example.com", Security: mail.None})
	if err != nil {
		t.Fatal(err)
	}
	h.Mailer, h.PublicURL = sender, "https://gatehouse.example.com/"
	two := int32(2)
	until := h.clock.Now().Add(30 * 24 * time.Hour).Truncate(time.Second)
	maker := h.manager(t, gatehouse.NewManagementKey{
		Name: "hr", ACL: []string{gatehouse.ScopeFor("*")}, Grant: &gatehouse.Grant{MaxQPS: &two}, ExpireTime: until,
		IPRanges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	call := gatehouse.Call{Token: maker.Token, IP: netip.MustParseAddr("10.0.0.1")}
	m, err := h.As(&call).Invite(t.Context(), gatehouse.ID{}, " Ada@Example.com ", gatehouse.RoleDeveloper)
	if err != nil {
		t.Fatal(err)
	}
	if !m.Mailed || m.Link != "https://gatehouse.example.com/accept#"+m.Token.Reveal() || m.Invitation.Email != "Ada@Example.com" || m.Invitation.Digest != (gatehouse.Digest{}) {
		t.Errorf("%+v", m)
	}
	letters := server.Letters()
	if len(letters) != 1 || letters[0].To != "Ada@Example.com" || !strings.Contains(strings.ReplaceAll(letters[0].Text, "=\r\n", ""), m.Link) {
		t.Errorf("letters %v", letters)
	}
	p := h.accept(t, m, gatehouse.Acceptance{Email: "ada@example.COM", GivenName: "Ada"})
	u := h.user(t, p.user)
	if u.Role != gatehouse.RoleDeveloper || u.GivenName != "Ada" || u.Email != "Ada@Example.com" {
		t.Errorf("user %+v", u)
	}
	k := p.key
	if !k.Personal || k.Scope != gatehouse.ScopeTeam || *k.Grant.MaxQPS != 2 || !k.ExpireTime.Equal(until) || len(k.IPRanges) != 1 {
		t.Errorf("key %+v", k)
	}
	near := p.as(gatehouse.Call{IP: netip.MustParseAddr("10.9.9.9")})
	wantCode(t, gatehouse.PermissionDenied, second(near.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})))
	if _, err := near.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all, Limits: gatehouse.Limits{QPS: 2}}); err != nil {
		t.Error(err)
	}
}

// A mail server that does not take the letter is no reason to refuse: the link
// is there. Addresses stay out of what is never erased.
func TestAnInvitationThatIsNotMailedIsThereAllTheSame(t *testing.T) {
	h := open(t)
	sender, err := mail.New(mail.Config{Server: mailtest.Serve(t).Addr, From: "gatehouse@example.com", Security: mail.None})
	if err != nil {
		t.Fatal(err)
	}
	h.Mailer = sender
	m, err := h.root().Invite(t.Context(), gatehouse.ID{}, "nobody@example.com", gatehouse.RoleViewer)
	if err != nil || m.Mailed || m.Link == "" || !strings.Contains(h.log.String(), "was not mailed") {
		t.Errorf("%+v, %v", m, err)
	}
	h.accept(t, m, gatehouse.Acceptance{Email: "nobody@example.com"})
	err = h.root().ExportAudit(t.Context(), 0, 1000, func(l gatehouse.AuditLeaf) error {
		text, err := json.Marshal(string(l.Body))
		if strings.Contains(string(text), "nobody@") {
			t.Errorf("the address is in leaf %d: %s", l.Index, l.Body)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What is wrong with an invitation, its holder is told; who holds none is not.
func TestAnInvitationIsGoodOnceForItsAddressInItsTime(t *testing.T) {
	h := open(t)
	invite := func() gatehouse.MintedInvitation {
		m, err := h.root().Invite(t.Context(), gatehouse.ID{}, gatehouse.NewID().String()+"@example.com", gatehouse.RoleViewer)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	accept := func(token gatehouse.Token, email string) error {
		return second(h.As(&gatehouse.Call{Token: token, Operation: gatehouse.AcceptInvitation}).AcceptInvitation(t.Context(), gatehouse.Acceptance{Email: email}))
	}
	is := func(err error, code gatehouse.Code, says string) {
		t.Helper()
		if gatehouse.CodeOf(err) != code || !strings.Contains(gatehouse.Public(err), says) {
			t.Errorf("got %v, want %s about %q", err, code, says)
		}
	}
	m := invite()
	is(accept(m.Token, "somebody@example.com"), gatehouse.PermissionDenied, "another e-mail address")
	if e := h.newest(t); e.Result != gatehouse.Denied || e.Actor.Kind != gatehouse.ActorInvited || e.Subject != m.Invitation.ID.String() {
		t.Errorf("leaf %+v", e)
	}
	is(accept(m.Token, ""), gatehouse.PermissionDenied, "another e-mail address")
	h.accept(t, m, gatehouse.Acceptance{Email: m.Invitation.Email})
	is(accept(m.Token, m.Invitation.Email), gatehouse.FailedPrecondition, "accepted before")
	wantCode(t, gatehouse.FailedPrecondition, h.root().RevokeInvitation(t.Context(), gatehouse.ID{}, m.Invitation.ID))

	revoked := invite()
	if err := h.root().RevokeInvitation(t.Context(), gatehouse.ID{}, revoked.Invitation.ID); err != nil {
		t.Fatal(err)
	}
	is(accept(revoked.Token, revoked.Invitation.Email), gatehouse.FailedPrecondition, "revoked")
	wantCode(t, gatehouse.NotFound, h.root().RevokeInvitation(t.Context(), gatehouse.ID{}, revoked.Invitation.ID))

	late := invite()
	h.clock.advance(gatehouse.InvitationLifetime)
	is(accept(late.Token, late.Invitation.Email), gatehouse.FailedPrecondition, "expired")

	fresh := invite()
	for _, token := range []gatehouse.Token{
		{}, h.first.Token, gatehouse.MintToken("gth", gatehouse.Invite, gatehouse.NewID()), gatehouse.MintToken("gth", gatehouse.Invite, fresh.Invitation.ID),
	} {
		is(accept(token, fresh.Invitation.Email), gatehouse.Unauthenticated, "token of an invitation")
	}
	wantCode(t, gatehouse.Unauthenticated, second(h.As(&gatehouse.Call{Token: fresh.Token}).Self(t.Context())))
	wantCode(t, gatehouse.Unauthenticated, h.As(&gatehouse.Call{Token: fresh.Token}).Authorize(t.Context(), gatehouse.ListApiKeys))
}

// One invitation per address and team: the second names the first.
func TestAnAddressIsInvitedOnce(t *testing.T) {
	h := open(t)
	ctx, none := t.Context(), gatehouse.ID{}
	m, err := h.root().Invite(ctx, none, "ada@example.com", gatehouse.RoleViewer)
	if err != nil {
		t.Fatal(err)
	}
	err = second(h.root().Invite(ctx, none, "ADA@example.com", gatehouse.RoleAdmin))
	if gatehouse.CodeOf(err) != gatehouse.AlreadyExists || !strings.Contains(gatehouse.Public(err), m.Invitation.ID.String()) {
		t.Errorf("%v", err)
	}
	other, err := h.root().CreateTeam(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.root().Invite(ctx, other.ID, "ada@example.com", gatehouse.RoleAdmin); err != nil {
		t.Error(err)
	}
	if err := h.root().RevokeInvitation(ctx, none, m.Invitation.ID); err != nil {
		t.Fatal(err)
	}
	if m, err = h.root().Invite(ctx, none, "ada@example.com", gatehouse.RoleViewer); err != nil {
		t.Fatal(err)
	}
	h.accept(t, m, gatehouse.Acceptance{Email: "ada@example.com"})
	wantCode(t, gatehouse.AlreadyExists, second(h.root().Invite(ctx, none, "ada@example.com", gatehouse.RoleViewer)))
	for email, role := range map[string]gatehouse.Role{"ada": "viewer", "Ada <a@example.com>": "viewer", "a@example.com\r\nBcc: x@example.com": "viewer", "b@example.com": "root", "c@example.com": ""} {
		wantCode(t, gatehouse.InvalidArgument, second(h.root().Invite(ctx, none, email, role)))
	}
}

// Nobody comes in on the word of somebody who could not give it any more.
func TestAnInvitationEndsWithItsInvitersAuthority(t *testing.T) {
	h := open(t)
	for name, end := range map[string]func(p *person) error{
		"removed": func(p *person) error {
			return h.root().RemoveMember(t.Context(), gatehouse.ID{}, p.user, gatehouse.ID{})
		},
		"demoted": func(p *person) error {
			return second(h.root().UpdateMember(t.Context(), gatehouse.ID{}, p.user, gatehouse.RoleDeveloper))
		},
		"revoked": func(p *person) error { return h.root().RevokeManagementKey(t.Context(), p.key.ID) },
	} {
		p := h.member(t, h.root(), gatehouse.RoleAdmin)
		m, err := p.Invite(t.Context(), gatehouse.ID{}, name+"@example.com", gatehouse.RoleAdmin)
		if err != nil {
			t.Fatal(err)
		}
		if err := end(p); err != nil {
			t.Fatal(err)
		}
		c := h.As(&gatehouse.Call{Token: m.Token, Operation: gatehouse.AcceptInvitation})
		if err := second(c.AcceptInvitation(t.Context(), gatehouse.Acceptance{Email: name + "@example.com"})); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An answer that got lost is given again under its Idempotency-Key, with the
// same link; nobody is written to twice.
func TestAnInvitationIsReplayedWithItsLink(t *testing.T) {
	h := open(t)
	server := mailtest.Serve(t)
	sender, err := mail.New(mail.Config{Server: server.Addr, From: "gatehouse@example.com", Security: mail.None})
	if err != nil {
		t.Fatal(err)
	}
	h.Mailer = sender
	invite := func() gatehouse.MintedInvitation {
		m, err := h.As(&gatehouse.Call{Token: h.first.Token, IdempotencyKey: "once"}).Invite(t.Context(), gatehouse.ID{}, "ada@example.com", gatehouse.RoleViewer)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a, b := invite(), invite()
	if a.Link != b.Link || a.Token.Reveal() != b.Token.Reveal() || b.Invitation.ID != a.Invitation.ID || len(server.Letters()) != 1 {
		t.Errorf("%+v %+v, %d letters", a, b, len(server.Letters()))
	}
}

// Whoever may not invite any more has no invitation out, also for a role that
// would still be within theirs.
func TestAnInvitationEndsWithTheRightToInvite(t *testing.T) {
	h := open(t)
	p := h.member(t, h.root(), gatehouse.RoleAdmin)
	m, err := p.Invite(t.Context(), gatehouse.ID{}, "ada@example.com", gatehouse.RoleViewer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.root().UpdateMember(t.Context(), gatehouse.ID{}, p.user, gatehouse.RoleDeveloper); err != nil {
		t.Fatal(err)
	}
	c := h.As(&gatehouse.Call{Token: m.Token, Operation: gatehouse.AcceptInvitation})
	wantCode(t, gatehouse.FailedPrecondition, second(c.AcceptInvitation(t.Context(), gatehouse.Acceptance{Email: "ada@example.com"})))
}

// Who invites into a team that is not there is written down, and whom is not.
func TestTheLeafOfAMissedInvitationHoldsNoAddress(t *testing.T) {
	h := open(t)
	p := h.member(t, h.root(), gatehouse.RoleAdmin)
	c := p.as(gatehouse.Call{TeamID: gatehouse.NewID()})
	wantCode(t, gatehouse.NotFound, second(c.Invite(t.Context(), gatehouse.ID{}, "ada@example.com", gatehouse.RoleViewer)))
	if e := h.newest(t); e.Action != "access.missed" || strings.Contains(e.Details["target"], "ada") {
		t.Errorf("leaf %+v", e)
	}
}
