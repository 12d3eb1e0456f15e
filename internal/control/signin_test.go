package control_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/store"
)

// provider is an identity provider whose ID tokens are the names of people.
type provider struct {
	mu     sync.Mutex
	people map[string]gatehouse.Identity
	away   bool
	gone   map[string]bool // refresh tokens that are refused
	asked  []string
}

func (p *provider) Method() gatehouse.SignInMethod {
	return gatehouse.SignInMethod{Issuer: "https://idp.example.com", ClientID: "gatehouse"}
}

func (p *provider) Verify(_ context.Context, token, nonce string) (gatehouse.Identity, error) {
	who, ok := p.people[token]
	if !ok {
		return who, gatehouse.Errorf(gatehouse.Unauthenticated, "the ID token is refused")
	}
	who.Token = gatehouse.DigestOf(token + nonce)
	return who, nil
}

func (p *provider) Refresh(_ context.Context, token string) (string, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, token)
	switch {
	case p.away:
		return "", false, errors.New("connection refused")
	case p.gone[token]:
		return "", true, nil
	}
	return token + "+", false, nil
}

// signedIn is a house with a provider that knows Ada, in staff and ops, and Bob,
// in nothing that counts.
func signedIn(t *testing.T) (*house, *provider) {
	h := open(t)
	p := &provider{gone: map[string]bool{}, people: map[string]gatehouse.Identity{
		"ada": {Subject: "https://idp.example.com 1", Email: "ada@example.com", GivenName: "Ada", Groups: []string{"staff", "ops"}},
		"bob": {Subject: "https://idp.example.com 2", Groups: []string{"guests"}},
	}}
	for name, who := range p.people {
		who.Expire = h.clock.Now().Add(time.Hour)
		p.people[name] = who
	}
	h.Identities = p
	h.SignIns = control.SignInRules{Groups: []control.GroupRole{
		{Group: "staff", Role: gatehouse.RoleViewer}, {Group: "ops", Role: gatehouse.RoleAdmin}, {Group: "nobodys", Role: gatehouse.RoleOwner},
	}}
	return h, p
}

var nonces int

func (h *house) signIn(t *testing.T, in gatehouse.SignIn) (*person, error) {
	t.Helper()
	if in.Nonce == "" { // another token of the same person
		nonces++
		in.Nonce = strings.Repeat("n", nonces)
	}
	m, err := h.As(&gatehouse.Call{Operation: gatehouse.SignInWithIdToken}).SignIn(t.Context(), in)
	if err != nil {
		return nil, err
	}
	return &person{h.As(&gatehouse.Call{Token: m.Token}), h, m.Key.UserID, m.Key, m.Token}, nil
}

// must is signIn that has to work.
func (h *house) mustSignIn(t *testing.T, in gatehouse.SignIn) *person {
	t.Helper()
	p, err := h.signIn(t, in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A sign-in makes the person, gives the widest role of their groups, and a
// personal key for a working day.
func TestASignInGivesTheWidestRoleForADay(t *testing.T) {
	h, _ := signedIn(t)
	p := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"})
	if u := h.user(t, p.user); u.Role != gatehouse.RoleAdmin || u.Email != "ada@example.com" || u.GivenName != "Ada" || u.TeamID != h.first.TeamID {
		t.Errorf("%+v", u)
	}
	if !p.key.Personal || p.key.Scope != gatehouse.ScopeTeam || p.key.ExpireTime.Sub(p.key.CreateTime) != control.DefaultSignIn {
		t.Errorf("%+v", p.key)
	}
	if _, err := p.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all}); err != nil {
		t.Error(err)
	}
	again := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"})
	if again.user != p.user {
		t.Error("one person became two")
	}
	h.clock.advance(control.DefaultSignIn)
	wantCode(t, gatehouse.Unauthenticated, p.Authenticate(t.Context()))
}

// An ID token is good once, also when two use it at a time.
func TestAnIDTokenIsGoodOnce(t *testing.T) {
	h, _ := signedIn(t)
	h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada", Nonce: "x"})
	_, err := h.signIn(t, gatehouse.SignIn{IDToken: "ada", Nonce: "x"})
	wantCode(t, gatehouse.Unauthenticated, err)
	h.store.before = func() { h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada", Nonce: "y"}) }
	_, err = h.signIn(t, gatehouse.SignIn{IDToken: "ada", Nonce: "y"})
	wantCode(t, gatehouse.Unauthenticated, err)
	_, err = h.signIn(t, gatehouse.SignIn{IDToken: "eve"})
	wantCode(t, gatehouse.Unauthenticated, err)
}

// Nobody is let in on no role; a default takes in whom no group does.
func TestWithoutAGroupThatGivesARoleNobodyGetsIn(t *testing.T) {
	h, p := signedIn(t)
	_, err := h.signIn(t, gatehouse.SignIn{IDToken: "bob"})
	if gatehouse.CodeOf(err) != gatehouse.PermissionDenied || !strings.Contains(gatehouse.Public(err), "guests") {
		t.Errorf("%v", err)
	}
	if e := h.newest(t); e.Result != gatehouse.Denied || e.Actor.Kind != gatehouse.ActorSignIn {
		t.Errorf("leaf %+v", e)
	}
	h.SignIns.Default = gatehouse.RoleViewer
	bob := h.mustSignIn(t, gatehouse.SignIn{IDToken: "bob"})
	if h.user(t, bob.user).Role != gatehouse.RoleViewer {
		t.Error("the default was not given")
	}
	// Ada leaves ops, then staff: what she signed in to earlier shrinks with it.
	ada := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"})
	who := p.people["ada"]
	who.Groups = []string{"staff"}
	p.people["ada"] = who
	h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"})
	wantCode(t, gatehouse.PermissionDenied, second(ada.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})))
	who.Groups, h.SignIns.Default = nil, ""
	p.people["ada"] = who
	_, err = h.signIn(t, gatehouse.SignIn{IDToken: "ada"})
	wantCode(t, gatehouse.PermissionDenied, err)
	_, _, err = ada.ListKeys(t.Context(), gatehouse.KeyQuery{})
	wantCode(t, gatehouse.PermissionDenied, err)
}

// The address counts when the provider has verified it, and for a record that
// nobody has signed in as.
func TestAPersonIsFoundBySubjectAndElseByVerifiedAddress(t *testing.T) {
	h, p := signedIn(t)
	m, err := h.root().Invite(t.Context(), gatehouse.ID{}, "ADA@example.com", gatehouse.RoleViewer)
	if err != nil {
		t.Fatal(err)
	}
	invited := h.accept(t, m, gatehouse.Acceptance{Email: "ada@example.com"})
	ada := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"})
	if ada.user != invited.user {
		t.Error("she was not recognised")
	}
	other := p.people["ada"]
	other.Subject = "https://idp.example.com 3" // the address was given to somebody else
	p.people["other"] = other
	if h.mustSignIn(t, gatehouse.SignIn{IDToken: "other"}).user == ada.user {
		t.Error("another subject became her")
	}
	moved := p.people["ada"]
	moved.Email = ""
	p.people["moved"] = moved
	if h.mustSignIn(t, gatehouse.SignIn{IDToken: "moved"}).user != ada.user {
		t.Error("the same subject is another person")
	}
	if err := h.root().RemoveMember(t.Context(), gatehouse.ID{}, ada.user, gatehouse.ID{}); err != nil {
		t.Fatal(err)
	}
	if back := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"}); back.user == ada.user {
		t.Error("a removed record came back")
	}
	wantCode(t, gatehouse.Unauthenticated, ada.Authenticate(t.Context()))
}

// Groups take the role of the last owner no more than people do.
func TestGroupsLeaveTheTeamAnOwner(t *testing.T) {
	h, p := signedIn(t)
	m, err := h.root().Invite(t.Context(), gatehouse.ID{}, "ada@example.com", gatehouse.RoleOwner)
	if err != nil {
		t.Fatal(err)
	}
	ada := h.accept(t, m, gatehouse.Acceptance{Email: "ada@example.com"})
	if _, err := h.root().UpdateMember(t.Context(), gatehouse.ID{}, h.first.UserID, gatehouse.RoleAdmin); err != nil {
		t.Fatal(err)
	}
	in := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"})
	if in.user != ada.user || h.user(t, ada.user).Role != gatehouse.RoleOwner {
		t.Errorf("role %s", h.user(t, ada.user).Role)
	}
	who := p.people["ada"]
	who.Groups = nil
	p.people["ada"] = who
	_, err = h.signIn(t, gatehouse.SignIn{IDToken: "ada"})
	wantCode(t, gatehouse.PermissionDenied, err)
	if h.user(t, ada.user).Role != gatehouse.RoleOwner {
		t.Error("the last owner lost the role")
	}
	if _, err := in.UpdateMember(t.Context(), gatehouse.ID{}, h.first.UserID, gatehouse.RoleOwner); err != nil {
		t.Fatal(err)
	}
	_, err = h.signIn(t, gatehouse.SignIn{IDToken: "ada"})
	wantCode(t, gatehouse.PermissionDenied, err)
	if role := h.user(t, ada.user).Role; role != "" {
		t.Errorf("one of two owners is %s", role)
	}
}

// Who has roles in several teams says which; a role elsewhere is of no use.
func TestASignInIsToOneTeam(t *testing.T) {
	h, _ := signedIn(t)
	other, err := h.root().CreateTeam(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	h.SignIns.Groups[0].Team = other.ID
	_, err = h.signIn(t, gatehouse.SignIn{IDToken: "ada", Nonce: "kept"})
	if gatehouse.CodeOf(err) != gatehouse.InvalidArgument || !strings.Contains(gatehouse.Public(err), other.ID.String()) {
		t.Errorf("%v", err)
	}
	here := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada", Nonce: "kept", TeamID: h.first.TeamID}) // the token was not spent
	there := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada", TeamID: other.ID})
	if here.user == there.user || h.user(t, there.user).Role != gatehouse.RoleViewer || h.user(t, here.user).Role != gatehouse.RoleAdmin || there.key.TeamID != other.ID {
		t.Error("the teams are mixed")
	}
	_, err = h.signIn(t, gatehouse.SignIn{IDToken: "ada", TeamID: gatehouse.NewID()})
	wantCode(t, gatehouse.PermissionDenied, err)
}

// The provider says that somebody is gone: their management keys are refused at
// once, all of them, and their API keys wait for a new owner.
func TestDeactivationEndsAPersonsManagementKeys(t *testing.T) {
	h, p := signedIn(t)
	ada := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada", RefreshToken: "r"})
	ci, err := ada.CreateManagementKey(t.Context(), gatehouse.NewManagementKey{Name: "ci", ACL: []string{gatehouse.ScopeFor("*")}, ExpireTime: ada.key.ExpireTime})
	if err != nil {
		t.Fatal(err)
	}
	k, err := ada.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if err := h.CheckSignIns(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	check()
	p.away = true
	check()
	p.away = false
	check()
	if got := strings.Join(p.asked, " "); got != "r r+ r+" {
		t.Errorf("asked with %s", got)
	}
	if err := ada.Authenticate(t.Context()); err != nil {
		t.Fatalf("a provider that was away took her in: %v", err)
	}
	p.gone["r++"] = true
	check()
	wantCode(t, gatehouse.Unauthenticated, ada.Authenticate(t.Context()))
	wantCode(t, gatehouse.Unauthenticated, h.As(&gatehouse.Call{Token: ci.Token}).Authenticate(t.Context()))
	if got := h.orphans(t); len(got) != 1 || got[0] != k.Key.ID {
		t.Errorf("orphans %v", got)
	}
	if e := h.disabledLeaf(t); e.Actor.Kind != gatehouse.ActorSystem || e.Subject != ada.user.String() {
		t.Errorf("leaf %+v", e)
	}
	check() // nobody is left to be asked about
	if len(p.asked) != 4 {
		t.Errorf("asked %v", p.asked)
	}
	if back := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"}); back.user != ada.user || len(h.orphans(t)) != 0 {
		t.Error("who is back is another person")
	}
}

func (h *house) disabledLeaf(t *testing.T) (out gatehouse.EventView) {
	t.Helper()
	events, _, err := h.root().ListEvents(t.Context(), gatehouse.EventFilter{Action: "user.disabled"}, gatehouse.Page{})
	if err != nil || len(events) != 1 {
		t.Fatalf("%v, %v", events, err)
	}
	return events[0]
}

// Who signed in anew while the provider was asked about the old token is there.
func TestANoAboutAnOldTokenIsNoNo(t *testing.T) {
	h, p := signedIn(t)
	ada := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada", RefreshToken: "old"})
	p.gone["old"] = true
	h.store.before = func() { h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada", RefreshToken: "new"}) }
	if err := h.CheckSignIns(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ada.Authenticate(t.Context()); err != nil {
		t.Error(err)
	}
	err := h.store.View(store.System(t.Context()), func(v store.View) error {
		all, err := v.SignIns()
		if len(all) != 1 || string(all[0].Refresh) != "new" {
			t.Errorf("kept %v", all)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Nobody is asked about who was removed, and no token of theirs is kept.
func TestARemovedMembersSignInIsForgotten(t *testing.T) {
	h, p := signedIn(t)
	ada := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada", RefreshToken: "r"})
	if err := h.root().RemoveMember(t.Context(), gatehouse.ID{}, ada.user, gatehouse.ID{}); err != nil {
		t.Fatal(err)
	}
	if err := h.CheckSignIns(t.Context()); err != nil || len(p.asked) != 0 {
		t.Errorf("asked %v, %v", p.asked, err)
	}
	err := h.store.View(store.System(t.Context()), func(v store.View) error {
		all, err := v.SignIns()
		if len(all) != 0 {
			t.Errorf("kept %v", all)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Without a provider there is no such thing.
func TestSignInThatIsNotConfiguredIsNotThere(t *testing.T) {
	h := open(t)
	wantCode(t, gatehouse.NotFound, second(h.As(nil).SignInMethod(t.Context())))
	wantCode(t, gatehouse.NotFound, second(h.As(nil).SignIn(t.Context(), gatehouse.SignIn{IDToken: "x"})))
	if err := h.CheckSignIns(t.Context()); err != nil {
		t.Error(err)
	}
}

// Who has a link need not be who the provider names: what they hold of the
// address's record ends when that person first signs in, or it would grow to the
// role that the person's groups give.
func TestAFirstSignInEndsTheKeysThatCameByALink(t *testing.T) {
	h, _ := signedIn(t)
	m, err := h.root().Invite(t.Context(), gatehouse.ID{}, "ada@example.com", gatehouse.RoleViewer)
	if err != nil {
		t.Fatal(err)
	}
	other := h.accept(t, m, gatehouse.Acceptance{Email: "ada@example.com"}) // the inviter saw the link too
	ada := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"})
	if u := h.user(t, ada.user); u.ID != other.user || u.Role != gatehouse.RoleAdmin {
		t.Fatalf("%+v", u)
	}
	wantCode(t, gatehouse.Unauthenticated, other.Authenticate(t.Context()))
	h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"})
	if err := ada.Authenticate(t.Context()); err != nil {
		t.Errorf("a second sign-in ended the first: %v", err)
	}
}

// Two nodes may look after sign-ins at a time, when a round takes longer than a
// turn. A refresh token that the other spent meanwhile is not spent again: the
// provider would take it for a theft, and the person for gone.
func TestARoundSpendsNoTokenThatAnotherSpent(t *testing.T) {
	h, p := signedIn(t)
	const people = 9 // one more than are asked about at once
	for i := range people {
		name := strings.Repeat("x", i+1)
		p.people[name] = gatehouse.Identity{Subject: "https://idp.example.com " + name, Groups: []string{"staff"}, Expire: h.clock.Now().Add(time.Hour)}
		h.mustSignIn(t, gatehouse.SignIn{IDToken: name, RefreshToken: name})
	}
	slow := &slowProvider{provider: p, waiting: make(chan struct{}, people), done: make(chan struct{})}
	h.Identities = slow
	ended := make(chan error, 1)
	go func() { ended <- h.CheckSignIns(t.Context()) }()
	for range people - 1 {
		<-slow.waiting
	}
	slow.fast.Store(true)
	if err := h.CheckSignIns(t.Context()); err != nil { // the other node's
		t.Fatal(err)
	}
	close(slow.done)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(p.asked) != 2*people-1 {
		t.Errorf("asked %d times: %v", len(p.asked), p.asked)
	}
}

// slowProvider keeps who asks waiting until it is fast.
type slowProvider struct {
	*provider
	fast    atomic.Bool
	waiting chan struct{}
	done    chan struct{}
}

func (p *slowProvider) Refresh(ctx context.Context, token string) (string, bool, error) {
	if !p.fast.Load() {
		p.waiting <- struct{}{}
		<-p.done
	}
	return p.provider.Refresh(ctx, token)
}

// Who came in is told by the leaf of the key that they got: the actor of a
// sign-in or an acceptance has no record of their own.
func TestTheLeafOfAMintedKeySaysWhose(t *testing.T) {
	h, _ := signedIn(t)
	h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"})
	ada := h.mustSignIn(t, gatehouse.SignIn{IDToken: "ada"}) // nothing about her changes
	if e := h.newest(t); e.Action != "management_key.created" || e.Details["ownerUserId"] != ada.user.String() {
		t.Errorf("leaf %+v", e)
	}
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m", UserID: ada.user, ACL: []string{gatehouse.ScopeFor(gatehouse.ListUsers)}})
	if e := h.newest(t); e.Subject != m.Key.ID.String() || e.Details["ownerUserId"] != ada.user.String() {
		t.Errorf("leaf %+v", e)
	}
}
