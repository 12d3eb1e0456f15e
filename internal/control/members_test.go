package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/store"
)

// person is a member with their personal key.
type person struct {
	*control.Caller
	h     *house
	user  gatehouse.ID
	key   *gatehouse.ManagementKey
	token gatehouse.Token
}

// as is the person at another call.
func (p *person) as(call gatehouse.Call) *control.Caller {
	call.Token = p.token
	return p.h.As(&call)
}

// member joins by an invitation of who.
func (h *house) member(t *testing.T, who *control.Caller, role gatehouse.Role) *person {
	t.Helper()
	email := fmt.Sprintf("%s-%s@example.com", role, gatehouse.NewID())
	m, err := who.Invite(t.Context(), gatehouse.ID{}, email, role)
	if err != nil {
		t.Fatal(err)
	}
	return h.accept(t, m, gatehouse.Acceptance{Email: email})
}

func (h *house) accept(t *testing.T, m gatehouse.MintedInvitation, a gatehouse.Acceptance) *person {
	t.Helper()
	k, err := h.As(&gatehouse.Call{Token: m.Token, Operation: gatehouse.AcceptInvitation}).AcceptInvitation(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return &person{h.As(&gatehouse.Call{Token: k.Token}), h, k.Key.UserID, k.Key, k.Token}
}

func (h *house) user(t *testing.T, id gatehouse.ID) (u *gatehouse.User) {
	t.Helper()
	err := h.store.View(t.Context(), func(v store.View) (err error) {
		u, err = v.User(id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// The role is read with every call: what it opens today is what the key opens,
// whatever its ACL says.
func TestAPersonalKeyIsBoundedByItsOwnersPresentRole(t *testing.T) {
	h := open(t)
	p := h.member(t, h.root(), gatehouse.RoleDeveloper)
	for _, o := range gatehouse.Operations {
		err := p.Authorize(t.Context(), o.Name)
		want := gatehouse.RoleDeveloper.May(o.Name) || o.Name == gatehouse.ValidateManagementKey
		if slices.Contains(gatehouse.Unscoped, o.Name) && o.Name != gatehouse.ValidateManagementKey {
			continue // they take another credential
		}
		if (err == nil) != want || err != nil && gatehouse.CodeOf(err) != gatehouse.PermissionDenied {
			t.Errorf("%s: %v", o.Name, err)
		}
	}
	if _, err := p.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.root().UpdateMember(t.Context(), gatehouse.ID{}, p.user, gatehouse.RoleViewer); err != nil {
		t.Fatal(err)
	}
	wantCode(t, gatehouse.PermissionDenied, second(p.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})))
	if _, _, err := p.ListKeys(t.Context(), gatehouse.KeyQuery{}); err != nil {
		t.Error(err)
	}
}

// "*" of a personal key is what the role opens. A key made with it says no more,
// and keeps no more when the role grows.
func TestAKeyMadeByAPersonalKeyHoldsWhatTheRoleOpensAndNoMore(t *testing.T) {
	h := open(t)
	p := h.member(t, h.root(), gatehouse.RoleAdmin)
	m, err := p.CreateManagementKey(t.Context(), gatehouse.NewManagementKey{Name: "ci", ACL: []string{gatehouse.ScopeFor("*")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range gatehouse.Operations {
		if m.Key.MayCall(o.Name) != gatehouse.RoleAdmin.May(o.Name) && o.Name != gatehouse.ValidateManagementKey {
			t.Errorf("%s: %v", o.Name, m.Key.MayCall(o.Name))
		}
	}
	if m.Key.Personal {
		t.Error("it is personal")
	}
	for _, op := range []gatehouse.Operation{gatehouse.SetBillingInfo, gatehouse.CreateTeam} {
		_, err := p.CreateManagementKey(t.Context(), gatehouse.NewManagementKey{Name: "x", ACL: []string{gatehouse.ScopeFor(op)}})
		wantCode(t, gatehouse.PermissionDenied, err)
	}
}

// Whoever rotates a key holds it afterwards: a personal one only its person,
// and not by a key of theirs that may do less.
func TestAPersonalKeyIsRotatedByItsPersonAlone(t *testing.T) {
	h := open(t)
	p := h.member(t, h.root(), gatehouse.RoleAdmin)
	rotate := func(c *control.Caller) error {
		return second(c.RotateManagementKey(t.Context(), gatehouse.KeyRotation{ID: p.key.ID}))
	}
	wantCode(t, gatehouse.PermissionDenied, rotate(h.root()))
	wantCode(t, gatehouse.PermissionDenied, rotate(h.member(t, h.root(), gatehouse.RoleOwner).Caller))
	narrow, err := p.CreateManagementKey(t.Context(), gatehouse.NewManagementKey{Name: "n", ACL: []string{gatehouse.ScopeFor(gatehouse.RotateManagementKey)}})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, gatehouse.PermissionDenied, rotate(h.As(&gatehouse.Call{Token: narrow.Token})))
	if err := rotate(p.Caller); err != nil {
		t.Error(err)
	}
}

// Every management key of somebody who was removed is refused from then on, also
// in the middle of what it was doing.
func TestARemovedMembersKeysAreRefused(t *testing.T) {
	h := open(t)
	p := h.member(t, h.root(), gatehouse.RoleAdmin)
	ci, err := p.CreateManagementKey(t.Context(), gatehouse.NewManagementKey{Name: "ci", ACL: []string{gatehouse.ScopeFor("*")}})
	if err != nil {
		t.Fatal(err)
	}
	h.store.before = func() {
		if err := h.root().RemoveMember(t.Context(), gatehouse.ID{}, p.user, gatehouse.ID{}); err != nil {
			t.Error(err)
		}
	}
	wantCode(t, gatehouse.Unauthenticated, second(p.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})))
	wantCode(t, gatehouse.Unauthenticated, h.As(&gatehouse.Call{Token: ci.Token}).Authenticate(t.Context()))
	wantCode(t, gatehouse.NotFound, h.root().RemoveMember(t.Context(), gatehouse.ID{}, p.user, gatehouse.ID{}))
	users, _, err := h.root().ListMembers(t.Context(), gatehouse.ID{}, gatehouse.Page{})
	if err != nil || len(users) != 1 || users[0].Role != gatehouse.RoleOwner {
		t.Errorf("members %v, %v", users, err)
	}
}

// A member goes, their keys stay: with an heir, or as orphans until one is named.
func TestRemovalPassesKeysOnAndDeletesNone(t *testing.T) {
	h := open(t)
	p, heir := h.member(t, h.root(), gatehouse.RoleDeveloper), h.member(t, h.root(), gatehouse.RoleDeveloper)
	var mine []gatehouse.ID
	for range 120 { // more than two portions
		k, err := p.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})
		if err != nil {
			t.Fatal(err)
		}
		mine = append(mine, k.Key.ID)
	}
	given, err := h.root().CreateKey(t.Context(), gatehouse.NewKey{Name: "given", ACL: all, OwnerID: p.user})
	if err != nil {
		t.Fatal(err)
	}
	mine = append(mine, given.Key.ID)
	away, err := p.CreateKey(t.Context(), gatehouse.NewKey{Name: "given away", ACL: all, OwnerID: heir.user})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, gatehouse.InvalidArgument, h.root().RemoveMember(t.Context(), gatehouse.ID{}, p.user, p.user))
	wantCode(t, gatehouse.InvalidArgument, h.root().RemoveMember(t.Context(), gatehouse.ID{}, p.user, gatehouse.NewID()))
	if err := h.root().RemoveMember(t.Context(), gatehouse.ID{}, p.user, gatehouse.ID{}); err != nil {
		t.Fatal(err)
	}
	if got := h.orphans(t); !slices.Equal(got, mine) {
		t.Errorf("%d orphans of %d", len(got), len(mine))
	}
	if err := h.root().RemoveMember(t.Context(), gatehouse.ID{}, p.user, heir.user); err != nil {
		t.Fatal(err)
	}
	if got := h.orphans(t); len(got) != 0 {
		t.Errorf("%d orphans are left", len(got))
	}
	for _, id := range append(mine, away.Key.ID) {
		if k := h.stored(t, id); k.Deleted() || k.Owner() != heir.user {
			t.Fatalf("%+v", k)
		}
	}
}

// orphans reads all pages, of seven.
func (h *house) orphans(t *testing.T) (ids []gatehouse.ID) {
	t.Helper()
	page := gatehouse.Page{Size: 7}
	for {
		keys, next, err := h.root().Orphans(t.Context(), gatehouse.ID{}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			ids = append(ids, k.ID)
		}
		if page.Token = next; next == "" {
			return ids
		}
	}
}

// failing breaks the update with a number, counted from now.
type failing struct {
	store.Store
	after int
}

func (s *failing) Update(ctx context.Context, cause gatehouse.Cause, f func(store.Tx) error) (gatehouse.Revision, error) {
	if s.after--; s.after == 0 {
		return gatehouse.Revision{}, errors.New("disk full")
	}
	return s.Store.Update(ctx, cause, f)
}

// A removal that was cut short holds, and the same call again finishes it.
func TestARemovalThatWasCutShortIsFinishedByTheSameCall(t *testing.T) {
	h := open(t)
	p, heir := h.member(t, h.root(), gatehouse.RoleDeveloper), h.member(t, h.root(), gatehouse.RoleDeveloper)
	for range 70 {
		if _, err := p.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all}); err != nil {
			t.Fatal(err)
		}
	}
	whole := h.Store
	h.Store = &failing{whole, 3}
	wantCode(t, gatehouse.Unavailable, h.root().RemoveMember(t.Context(), gatehouse.ID{}, p.user, heir.user))
	h.Store = whole
	wantCode(t, gatehouse.Unauthenticated, p.Authenticate(t.Context()))
	if n := len(h.orphans(t)); n != 20 {
		t.Errorf("%d orphans", n)
	}
	if err := h.root().RemoveMember(t.Context(), gatehouse.ID{}, p.user, heir.user); err != nil || len(h.orphans(t)) != 0 {
		t.Errorf("%v, %d orphans", err, len(h.orphans(t)))
	}
}

// Who leaves by themselves may name their heir.
func TestAMemberMayRemoveThemselves(t *testing.T) {
	h := open(t)
	p, heir := h.member(t, h.root(), gatehouse.RoleAdmin), h.member(t, h.root(), gatehouse.RoleDeveloper)
	k, err := p.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.RemoveMember(t.Context(), gatehouse.ID{}, p.user, heir.user); err != nil || h.stored(t, k.Key.ID).Owner() != heir.user {
		t.Errorf("%v, owner %s", err, h.stored(t, k.Key.ID).Owner())
	}
}

// Nobody gives, takes or touches a role beyond their own, and the last owner stays.
func TestRolesBeyondOnesOwnAreOutOfReach(t *testing.T) {
	h := open(t)
	admin, billing := h.member(t, h.root(), gatehouse.RoleAdmin), h.member(t, h.root(), gatehouse.RoleBilling)
	dev, owner := h.member(t, h.root(), gatehouse.RoleDeveloper), h.member(t, h.root(), gatehouse.RoleOwner)
	none := gatehouse.ID{}
	for name, err := range map[string]error{
		"invites an owner":    second(admin.Invite(t.Context(), none, "x@example.com", gatehouse.RoleOwner)),
		"makes an owner":      second(admin.UpdateMember(t.Context(), none, dev.user, gatehouse.RoleOwner)),
		"makes itself one":    second(admin.UpdateMember(t.Context(), none, admin.user, gatehouse.RoleOwner)),
		"demotes an owner":    second(admin.UpdateMember(t.Context(), none, owner.user, gatehouse.RoleViewer)),
		"demotes billing":     second(admin.UpdateMember(t.Context(), none, billing.user, gatehouse.RoleViewer)),
		"removes billing":     admin.RemoveMember(t.Context(), none, billing.user, none),
		"re-addresses owner":  second(admin.UpdateUser(t.Context(), gatehouse.UserUpdate{ID: owner.user, Email: gatehouse.Some("evil@example.com")})),
		"developer invites":   second(dev.Invite(t.Context(), none, "x@example.com", gatehouse.RoleViewer)),
		"developer removes":   dev.RemoveMember(t.Context(), none, admin.user, none),
		"billing makes roles": second(billing.UpdateMember(t.Context(), none, billing.user, gatehouse.RoleOwner)),
	} {
		if gatehouse.CodeOf(err) != gatehouse.PermissionDenied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := admin.UpdateMember(t.Context(), none, dev.user, gatehouse.RoleAuditor); err != nil {
		t.Error(err)
	}
	wantCode(t, gatehouse.InvalidArgument, second(h.root().UpdateMember(t.Context(), none, dev.user, "root")))
	wantCode(t, gatehouse.NotFound, second(h.root().UpdateMember(t.Context(), none, gatehouse.NewID(), gatehouse.RoleViewer)))
	if err := h.root().RemoveMember(t.Context(), none, owner.user, none); err != nil {
		t.Fatal(err)
	}
	wantCode(t, gatehouse.FailedPrecondition, h.root().RemoveMember(t.Context(), none, h.first.UserID, none))
	wantCode(t, gatehouse.FailedPrecondition, second(h.root().UpdateMember(t.Context(), none, h.first.UserID, gatehouse.RoleAdmin)))
}

// Another team's people are not there.
func TestMembersAreTheTeamsOwn(t *testing.T) {
	h := open(t)
	other, err := h.root().CreateTeam(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	admin, dev := h.member(t, h.root(), gatehouse.RoleAdmin), h.member(t, h.root(), gatehouse.RoleDeveloper)
	theirs := h.manager(t, gatehouse.NewManagementKey{TeamID: other.ID, Name: "t", ACL: []string{gatehouse.ScopeFor("*")}})
	c := h.As(&gatehouse.Call{Token: theirs.Token})
	i, err := admin.Invite(t.Context(), gatehouse.ID{}, "x@example.com", gatehouse.RoleViewer)
	if err != nil {
		t.Fatal(err)
	}
	for _, team := range []gatehouse.ID{{}, h.first.TeamID, other.ID} {
		wantCode(t, gatehouse.NotFound, second(c.UpdateMember(t.Context(), team, dev.user, gatehouse.RoleViewer)))
		wantCode(t, gatehouse.NotFound, c.RemoveMember(t.Context(), team, dev.user, gatehouse.ID{}))
		wantCode(t, gatehouse.NotFound, c.RevokeInvitation(t.Context(), team, i.Invitation.ID))
	}
	_, _, err = c.ListMembers(t.Context(), h.first.TeamID, gatehouse.Page{})
	wantCode(t, gatehouse.NotFound, err)
	_, _, err = c.Orphans(t.Context(), h.first.TeamID, gatehouse.Page{})
	wantCode(t, gatehouse.NotFound, err)
	wantCode(t, gatehouse.NotFound, second(h.root().UpdateMember(t.Context(), other.ID, dev.user, gatehouse.RoleViewer)))
}

// Before there were roles, people were names and their keys worked. They do.
func TestAKeyOfSomebodyWithoutARoleWorksAsBefore(t *testing.T) {
	h := open(t)
	u, err := h.root().CreateUser(t.Context(), &gatehouse.User{GivenName: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	m := h.manager(t, gatehouse.NewManagementKey{Name: "m", UserID: u.ID, ACL: []string{gatehouse.ScopeFor("*")}})
	if _, err := h.As(&gatehouse.Call{Token: m.Token}).CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all}); err != nil {
		t.Error(err)
	}
	if _, err := h.root().UpdateMember(t.Context(), gatehouse.ID{}, u.ID, gatehouse.RoleViewer); err != nil {
		t.Error(err)
	}
}

// A client that repeats a call which was cut short sends the same
// Idempotency-Key: it must not be told that all is done.
func TestARemovalThatWasCutShortIsFinishedUnderItsIdempotencyKey(t *testing.T) {
	h := open(t)
	p, heir := h.member(t, h.root(), gatehouse.RoleDeveloper), h.member(t, h.root(), gatehouse.RoleDeveloper)
	for range 60 {
		if _, err := p.CreateKey(t.Context(), gatehouse.NewKey{Name: "k", ACL: all}); err != nil {
			t.Fatal(err)
		}
	}
	remove := func() error {
		c := h.As(&gatehouse.Call{Token: h.first.Token, IdempotencyKey: "once"})
		return c.RemoveMember(t.Context(), gatehouse.ID{}, p.user, heir.user)
	}
	whole := h.Store
	h.Store = &failing{whole, 2}
	wantCode(t, gatehouse.Unavailable, remove())
	h.Store = whole
	if err := remove(); err != nil || len(h.orphans(t)) != 0 {
		t.Errorf("%v, %d orphans", err, len(h.orphans(t)))
	}
}

// A key of the organization is beyond a team, and so is ending it by removing
// whose it is.
func TestATeamRemovesNobodyWhoHoldsAKeyOfTheOrganization(t *testing.T) {
	h := open(t)
	owner := h.member(t, h.root(), gatehouse.RoleOwner)
	wantCode(t, gatehouse.PermissionDenied, owner.RemoveMember(t.Context(), gatehouse.ID{}, h.first.UserID, gatehouse.ID{}))
	if err := h.root().Authenticate(t.Context()); err != nil {
		t.Error(err)
	}
	if err := h.root().RemoveMember(t.Context(), gatehouse.ID{}, h.first.UserID, gatehouse.ID{}); err != nil {
		t.Error(err)
	}
}

// Whoever may make keys in another's name gets no personal one by it: it would
// grow with that person's role.
func TestAKeyInAnothersNameRotatesNoPersonalKey(t *testing.T) {
	h := open(t)
	p, admin := h.member(t, h.root(), gatehouse.RoleViewer), h.member(t, h.root(), gatehouse.RoleAdmin)
	m, err := admin.CreateManagementKey(t.Context(), gatehouse.NewManagementKey{Name: "m", UserID: p.user, ACL: []string{gatehouse.ScopeFor("*")}})
	if err != nil {
		t.Fatal(err)
	}
	c := h.As(&gatehouse.Call{Token: m.Token})
	wantCode(t, gatehouse.PermissionDenied, second(c.RotateManagementKey(t.Context(), gatehouse.KeyRotation{ID: p.key.ID})))
}
