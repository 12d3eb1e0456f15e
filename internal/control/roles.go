package control

import (
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/store"
)

// there reports whether a person is: neither removed from the team nor gone
// from the identity provider.
func there(u *gatehouse.User) bool { return u.DeleteTime.IsZero() && !u.Disabled }

// roleName is a role for people.
func roleName(r gatehouse.Role) string {
	if r == "" {
		return "you have none"
	}
	return "you are " + string(r)
}

var everyScope = gatehouse.ScopeFor("*")

// spelled is an ACL that a caller asks for. "*" in the mouth of a personal key
// means what it opens there, which is what the role opens: a key that outlives
// the role must not say more.
func (p *principal) spelled(acl []string) []string {
	if !p.Personal || !slices.Contains(acl, everyScope) || !slices.Contains(p.ACL, everyScope) {
		return slices.Clone(acl)
	}
	var out []string
	for _, op := range p.owner.Role.Operations() {
		out = append(out, gatehouse.ScopeFor(op))
	}
	for _, s := range acl {
		if s != everyScope && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// lacks names the first entry of a key that the caller could not use itself.
// Where a role has a part in it, on either side, what the two open is compared;
// of a personal key only its owner comes here, so the role is the caller's.
func (p *principal) lacks(k *gatehouse.ManagementKey) (excess string) {
	if k.Personal {
		return p.unopened((&principal{ManagementKey: k, owner: p.owner}).spelled(k.ACL))
	}
	if excess = gatehouse.ManagementACLWithin(k.ACL, p.ACL); excess != "" || !p.Personal {
		return excess
	}
	return p.unopened(k.ACL)
}

// unopened names the first entry of acl that is not open to the caller.
func (p *principal) unopened(acl []string) string {
	for _, s := range acl {
		name := strings.TrimPrefix(s, gatehouse.ScopeFor(""))
		if name == "*" || !p.MayCall(gatehouse.Operation(name)) {
			return s
		}
	}
	return ""
}

// outranked names the first operation of a role that is not open to the caller:
// such a role they can neither give nor touch. Empty when there is none.
func (p *principal) outranked(r gatehouse.Role) gatehouse.Operation {
	for _, op := range r.Operations() {
		if !p.MayCall(op) {
			return op
		}
	}
	return ""
}

// mayGive refuses a role beyond the caller's own.
func (p *principal) mayGive(field string, r gatehouse.Role) error {
	if op := p.outranked(r); op != "" {
		return beyond(gatehouse.Violations{{Field: field, Problem: string(r) + " opens " + string(op) + ", which is not open to you"}})
	}
	return nil
}

// mayTouch refuses to change somebody whose role is beyond the caller's own.
func (p *principal) mayTouch(u *gatehouse.User) error {
	if op := p.outranked(u.Role); op != "" {
		return gatehouse.Errorf(gatehouse.PermissionDenied, "the person's role, %s, opens %s, which is not open to you", u.Role, op)
	}
	return nil
}

// mayRaise refuses a new role for somebody whose personal keys have a wider
// ceiling than the caller's: the role would let them do more than the caller
// could ever hand out.
func (p *principal) mayRaise(v store.View, u *gatehouse.User, to gatehouse.Role) error {
	if p.Grant == nil || !slices.ContainsFunc(to.Operations(), func(op gatehouse.Operation) bool { return !u.Role.May(op) }) {
		return nil
	}
	return managersOf(v, u, func(k *gatehouse.ManagementKey) error {
		var bad gatehouse.Violations
		if k.Personal && !past(k.ExpireTime, p.now) {
			p.Grant.Covers(k.Grant, &bad)
		}
		return beyond(bad)
	})
}

// managersOf yields a person's management keys.
func managersOf(v store.View, u *gatehouse.User, yield func(*gatehouse.ManagementKey) error) error {
	return walk(func(after store.Cursor) ([]*gatehouse.ManagementKey, error) {
		return v.ManagementKeys(u.TeamID, after, defaultPage)
	},
		func(k *gatehouse.ManagementKey) (store.Cursor, error) {
			at := store.Cursor{Time: k.CreateTime, ID: k.ID.String()}
			if k.UserID != u.ID {
				return at, nil
			}
			return at, yield(k)
		})
}

// walk reads a list of the store to its end, a page at a time. Each says where
// the record stands.
func walk[T any](list func(store.Cursor) ([]T, error), each func(T) (store.Cursor, error)) error {
	var after store.Cursor
	for {
		page, err := list(after)
		if err != nil {
			return err
		}
		for _, x := range page {
			if after, err = each(x); err != nil {
				return err
			}
		}
		if len(page) < defaultPage {
			return nil
		}
	}
}

// lastOwner reports whether nobody else owns the team.
func lastOwner(v store.View, u *gatehouse.User) (bool, error) {
	if u.Role != gatehouse.RoleOwner {
		return false, nil
	}
	others := 0
	err := walk(func(after store.Cursor) ([]*gatehouse.User, error) { return v.Users(u.TeamID, after, defaultPage) },
		func(o *gatehouse.User) (store.Cursor, error) {
			if o.ID != u.ID && o.Role == gatehouse.RoleOwner && there(o) {
				others++
			}
			return store.Cursor{Time: o.CreateTime, ID: o.ID.String()}, nil
		})
	return others == 0, err
}
