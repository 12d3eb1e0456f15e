package gatehouse_test

import (
	"slices"
	"testing"

	"gatehouse"
)

// Every operation is decided for every role: it is the organization's, or needs
// no role, or stands in exactly one permission. A new operation that nobody
// thought about fails here instead of being denied in silence.
func TestEveryOperationIsDecidedForEveryRole(t *testing.T) {
	for _, o := range gatehouse.Operations {
		in := 0
		for _, p := range gatehouse.Permissions {
			if slices.Contains(p.Operations, o.Name) {
				in++
			}
		}
		want := 1
		if o.Organization || slices.Contains(gatehouse.Unscoped, o.Name) {
			want = 0
		}
		if in != want {
			t.Errorf("%s is in %d permissions, want %d", o.Name, in, want)
		}
	}
	for _, p := range gatehouse.Permissions {
		for _, op := range p.Operations {
			if !slices.ContainsFunc(gatehouse.Operations, func(o gatehouse.OperationInfo) bool { return o.Name == op }) {
				t.Errorf("%s holds %s, which is no operation", p.Name, op)
			}
		}
		for _, r := range p.Roles {
			if !r.Valid() {
				t.Errorf("%s is of %q", p.Name, r)
			}
		}
	}
}

// An owner may do all of a team; an admin may make everybody but those who move
// money; nobody else makes anybody.
func TestRolesNest(t *testing.T) {
	within := func(a, b gatehouse.Role) bool {
		return !slices.ContainsFunc(a.Operations(), func(op gatehouse.Operation) bool { return !b.May(op) })
	}
	for _, r := range gatehouse.Roles {
		if !within(r, gatehouse.RoleOwner) || len(r.Operations()) == 0 {
			t.Errorf("%s is not within owner, or empty", r)
		}
	}
	for _, r := range []gatehouse.Role{gatehouse.RoleDeveloper, gatehouse.RoleAuditor, gatehouse.RoleViewer} {
		if !within(r, gatehouse.RoleAdmin) {
			t.Errorf("an admin cannot make %s", r)
		}
	}
	for _, r := range []gatehouse.Role{gatehouse.RoleOwner, gatehouse.RoleBilling} {
		if within(r, gatehouse.RoleAdmin) {
			t.Errorf("an admin could make %s", r)
		}
	}
	if gatehouse.Role("").May(gatehouse.ListApiKeys) || gatehouse.Role("root").May(gatehouse.ListApiKeys) || gatehouse.RoleOwner.May("Unheard") {
		t.Error("what nobody decided is open")
	}
	if w := gatehouse.RoleViewer.Wider(gatehouse.RoleAdmin); w != gatehouse.RoleAdmin || w.Wider("") != gatehouse.RoleAdmin {
		t.Errorf("wider: %s", w)
	}
}
