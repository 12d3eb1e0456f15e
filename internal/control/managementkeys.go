package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const managementNoun = "management key"

type mintedManager = gatehouse.MintedManagementKey

// CreateManagementKey implements gatehouse.ManagementKeys.
func (c *Caller) CreateManagementKey(ctx context.Context, n gatehouse.NewManagementKey) (mintedManager, error) {
	id := gatehouse.NewID()
	token := gatehouse.MintToken(c.s.Brand, gatehouse.Management, id)
	return mutate(ctx, c, mutation[mintedManager]{
		op: gatehouse.CreateManagementKey, target: n.TeamID.String(), secret: true,
		run: func(tx store.Tx, who *principal) (mintedManager, error) {
			team, err := liveTeam(tx, who, who.home(n.TeamID))
			if err != nil {
				return mintedManager{}, err
			}
			k := freshManager(n, id, who)
			k.Secrets = []gatehouse.Secret{{Digest: token.Digest(), Last4: token.Last4(), CreateTime: k.CreateTime}}
			var bad gatehouse.Violations
			if err := validateManager(tx, n, k, who, &bad); err != nil {
				return mintedManager{}, err
			}
			if err := fits(k, who); err != nil {
				return mintedManager{}, err
			}
			act := done(gatehouse.CreateManagementKey, "management_key.created", team.ID, gatehouse.KindManagementKey, id.String(),
				fmt.Sprintf("Management key '%s' was created", k.Name))
			act.Details = map[string]string{"scope": string(k.Scope), "acls": short(fmt.Sprint(k.ACL)), "ownerUserId": k.UserID.String(), "last4": token.Last4()}
			if err := tx.PutManagementKey(k, act); err != nil {
				return mintedManager{}, err
			}
			return mintedManager{Key: shownManager(k), Token: token}, nil
		},
	})
}

// freshManager is the key that was asked for: of one team unless it says
// otherwise, and its maker's owner's unless it names another.
func freshManager(n gatehouse.NewManagementKey, id gatehouse.ID, who *principal) *gatehouse.ManagementKey {
	now := utc(who.now)
	k := &gatehouse.ManagementKey{
		ID: id, Scope: n.Scope, TeamID: who.home(n.TeamID), UserID: n.UserID, MakerID: who.ID, Name: n.Name,
		ACL: who.spelled(n.ACL), Grant: n.Grant, IPRanges: n.IPRanges, CreateTime: now, ModifyTime: now, ExpireTime: n.ExpireTime,
	}
	if k.Scope == "" {
		k.Scope = gatehouse.ScopeTeam
	}
	if k.UserID.IsZero() {
		k.UserID = who.UserID
	}
	return k
}

// validateManager names everything that is wrong in itself; what exceeds the
// maker is another question, with another answer.
func validateManager(tx store.Tx, n gatehouse.NewManagementKey, k *gatehouse.ManagementKey, who *principal, bad *gatehouse.Violations) error {
	k.Name = name("name", k.Name, bad)
	if k.Scope != gatehouse.ScopeTeam && k.Scope != gatehouse.ScopeOrganization {
		bad.Addf("scope", "must be %s or %s", gatehouse.ScopeTeam, gatehouse.ScopeOrganization)
	}
	gatehouse.ValidateManagementACL("acls", k.ACL, bad)
	k.ACL = unique(k.ACL)
	k.IPRanges = ranges("ipRanges", k.IPRanges, bad)
	k.ExpireTime = expiry("expireTime", k.ExpireTime, who.now, bad)
	var err error
	if k.Grant, err = granted(tx, k.Grant, bad); err != nil {
		return err
	}
	if err := memberOf(tx, "ownerUserId", n.UserID, k.TeamID, bad); err != nil {
		return err
	}
	return bad.Err()
}

// granted is the ceiling as it is stored. Its aliases stand for their targets,
// like those of the keys that are held against it.
func granted(v store.View, asked *gatehouse.Grant, bad *gatehouse.Violations) (*gatehouse.Grant, error) {
	if asked == nil {
		return nil, nil
	}
	g := *asked
	if g.ACL != nil {
		acl, _, err := grantable(v, "grant.acls", *g.ACL, bad)
		if err != nil {
			return nil, err
		}
		g.ACL = &acl
	}
	if g.MaxExpireTime != nil {
		until := utc(*g.MaxExpireTime)
		g.MaxExpireTime = &until
	}
	atLeastOne(bad, "grant.maxQps", g.MaxQPS)
	atLeastOne(bad, "grant.maxQpm", g.MaxQPM)
	atLeastOne(bad, "grant.maxTpm", g.MaxTPM)
	if g.MaxBudget != nil && (*g.MaxBudget < 1 || *g.MaxBudget > gatehouse.MaxBudgetAmount) {
		bad.Addf("grant.maxBudget", "must be more than nothing and at most %s, or null for no maximum", gatehouse.MaxBudgetAmount)
	}
	if g.MaxTPM != nil && *g.MaxTPM > gatehouse.MaxTPM {
		bad.Addf("grant.maxTpm", "must be at most %d", int64(gatehouse.MaxTPM))
	}
	if b := g.MaxBudget; b != nil && (*b <= 0 || *b > gatehouse.MaxBudgetAmount) {
		bad.Addf("grant.maxBudgetCents", "must be more than 0 and at most %s", gatehouse.MaxBudgetAmount)
	}
	return &g, nil
}

// atLeastOne refuses a maximum of 0: it reads like "none allowed" and, as a
// limit, would mean "no limit".
func atLeastOne[T int32 | int64](bad *gatehouse.Violations, field string, most *T) {
	if most != nil && *most < 1 {
		bad.Addf(field, "must be at least 1, or null for no maximum")
	}
}

// fits refuses a management key that could do anything its maker could not:
// further, more, for longer, from elsewhere, or in another's name. It is asked of a new key and
// of a rotated one, since who rotates a key holds its token afterwards.
func fits(k *gatehouse.ManagementKey, who *principal) error {
	var bad gatehouse.Violations
	if k.Scope == gatehouse.ScopeOrganization && who.Scope != gatehouse.ScopeOrganization {
		bad.Addf("scope", "must be %s: your own is", gatehouse.ScopeTeam)
	}
	if k.UserID != who.UserID && !who.mayActFor() {
		bad.Addf("ownerUserId", "must be your own user: another's takes %s or %s", gatehouse.ScopeOrganization, gatehouse.ScopeFor(gatehouse.CreateUser))
	}
	if k.Personal && (k.UserID != who.UserID || !who.Personal) { // a key in their name may be another's
		bad.Addf("id", "is a person's own: only they may rotate it, by a personal key")
	} else if excess := who.lacks(k); excess != "" {
		bad.Addf("acls", "%q is beyond your own", short(excess))
	}
	who.Grant.Covers(k.Grant, &bad)
	if !who.ExpireTime.IsZero() && (k.ExpireTime.IsZero() || k.ExpireTime.After(who.ExpireTime)) {
		bad.Addf("expireTime", "must be at most %s, your own", show(who.ExpireTime))
	}
	if !rangesWithin(k.IPRanges, who.IPRanges) {
		bad.Addf("ipRanges", "must lie within your own")
	}
	return beyond(bad)
}

// mayActFor reports whether who may hold credentials in another person's name.
// What such a key does stands in the log as that person's, so this is what
// whoever says who the people are may do, and nobody else.
func (p *principal) mayActFor() bool {
	return p.Scope == gatehouse.ScopeOrganization || p.MayCall(gatehouse.CreateUser)
}

// GetManagementKey implements gatehouse.ManagementKeys.
func (c *Caller) GetManagementKey(ctx context.Context, id gatehouse.ID) (*gatehouse.ManagementKey, error) {
	return read(ctx, c, query[*gatehouse.ManagementKey]{
		op: gatehouse.GetManagementKey, act: reading("management_key.read", gatehouse.KindManagementKey, id.String()),
		run: func(v store.View, who *principal) (*gatehouse.ManagementKey, error) {
			k, err := managerOf(v, who, id)
			if err != nil {
				return nil, err
			}
			return shownManager(k), nil
		},
	})
}

// Self implements gatehouse.ManagementKeys. Scripts call it before anything
// else, to learn their team.
func (c *Caller) Self(ctx context.Context) (*gatehouse.ManagementKey, error) {
	return read(ctx, c, query[*gatehouse.ManagementKey]{
		op: gatehouse.ValidateManagementKey, act: gatehouse.Act{Action: "management_key.validated", Kind: gatehouse.KindManagementKey},
		run: func(_ store.View, who *principal) (*gatehouse.ManagementKey, error) {
			return shownManager(who.ManagementKey), nil
		},
	})
}

// ListManagementKeys implements gatehouse.ManagementKeys. A page may be short
// of its size while there is a next one: keys of the organization whose home is
// the caller's team are not the team's to see.
func (c *Caller) ListManagementKeys(ctx context.Context, team gatehouse.ID, page gatehouse.Page) ([]*gatehouse.ManagementKey, string, error) {
	out, err := read(ctx, c, query[listed[*gatehouse.ManagementKey]]{
		op: gatehouse.ListManagementKeys, act: gatehouse.Act{Action: "management_key.listed", Kind: gatehouse.KindManagementKey, TeamID: team},
		run: func(v store.View, who *principal) (out listed[*gatehouse.ManagementKey], err error) {
			if team, err = scopeOf(v, who, team); err != nil {
				return out, err
			}
			p, err := c.pager(gatehouse.ListManagementKeys, team, "", page)
			if err != nil {
				return out, err
			}
			keys, err := v.ManagementKeys(team, p.cursor(), p.size+1)
			if err != nil {
				return out, err
			}
			out, err = cut(p, keys, func(k *gatehouse.ManagementKey) place { return place{Time: k.CreateTime, ID: k.ID.String()} })
			out.items = visible(out.items, who)
			return out, err
		},
	})
	return out.unpack(err)
}

// visible leaves out what is beyond the caller.
func visible(keys []*gatehouse.ManagementKey, who *principal) []*gatehouse.ManagementKey {
	var out []*gatehouse.ManagementKey
	for _, k := range keys {
		if mayManage(k, who) {
			out = append(out, shownManager(k))
		}
	}
	return out
}

// scopeOf is the team that a list is about: the one named, every team for a
// caller of the organization that names none, else the caller's own.
func scopeOf(v store.View, who *principal, team gatehouse.ID) (gatehouse.ID, error) {
	if team.IsZero() && who.Scope == gatehouse.ScopeOrganization {
		return team, nil
	}
	t, err := liveTeam(v, who, who.home(team))
	if err != nil {
		return gatehouse.ID{}, err
	}
	return t.ID, nil
}

// RotateManagementKey implements gatehouse.ManagementKeys. The overlap is that
// of inference keys: a script has time to pick up the new secret.
func (c *Caller) RotateManagementKey(ctx context.Context, r gatehouse.KeyRotation) (mintedManager, error) {
	token := gatehouse.MintToken(c.s.Brand, gatehouse.Management, r.ID)
	return mutate(ctx, c, mutation[mintedManager]{
		op: gatehouse.RotateManagementKey, target: r.ID.String(), secret: true,
		run: func(tx store.Tx, who *principal) (mintedManager, error) {
			before, err := managerOf(tx, who, r.ID)
			if err == nil {
				err = c.matches(before.Revision)
			}
			if err != nil {
				return mintedManager{}, err
			}
			k := *before
			k.ModifyTime = utc(who.now)
			var bad gatehouse.Violations
			k.Secrets = rotated(before.Secrets, token, past(before.ExpireTime, who.now), r.OldSecretExpire, who.now, &bad)
			if r.ExpireTime.Set {
				k.ExpireTime = expiry("expireTime", r.ExpireTime.Value, who.now, &bad)
			}
			if err := bad.Err(); err != nil {
				return mintedManager{}, err
			}
			if err := fits(&k, who); err != nil {
				return mintedManager{}, err
			}
			act := done(gatehouse.RotateManagementKey, "management_key.rotated", k.TeamID, gatehouse.KindManagementKey, k.ID.String(),
				fmt.Sprintf("Management key '%s' was rotated", k.Name))
			act.Details = rotationDetails(before.Secrets, k.Secrets, changes{})
			if err := tx.PutManagementKey(&k, act); err != nil {
				return mintedManager{}, err
			}
			return mintedManager{Key: shownManager(&k), Token: token}, nil
		},
	})
}

// RevokeManagementKey implements gatehouse.ManagementKeys. Taking authority
// away is no amplification, so no ceiling is asked; a key may revoke itself.
func (c *Caller) RevokeManagementKey(ctx context.Context, id gatehouse.ID) error {
	_, err := mutate(ctx, c, mutation[struct{}]{
		op: gatehouse.RevokeManagementKey, target: id.String(),
		run: func(tx store.Tx, who *principal) (struct{}, error) {
			before, err := managerOf(tx, who, id)
			if err == nil {
				err = c.matches(before.Revision)
			}
			if err != nil {
				return struct{}{}, err
			}
			return struct{}{}, revoke(tx, before, who.now, gatehouse.RevokeManagementKey)
		},
	})
	return err
}

// revoke ends a management key for good.
func revoke(tx store.Tx, before *gatehouse.ManagementKey, now time.Time, op gatehouse.Operation) error {
	k := *before
	k.Secrets, k.ModifyTime = nil, utc(now)
	k.DeleteTime = k.ModifyTime
	return tx.PutManagementKey(&k, done(op, "management_key.revoked", k.TeamID, gatehouse.KindManagementKey, k.ID.String(),
		fmt.Sprintf("Management key '%s' was revoked", k.Name)))
}

// mayManage reports whether k is the caller's to see: a key of the
// organization is beyond a team, wherever its home is.
func mayManage(k *gatehouse.ManagementKey, who *principal) bool {
	return who.reaches(k.TeamID) && (who.Scope == gatehouse.ScopeOrganization || k.Scope == gatehouse.ScopeTeam)
}

// managerOf is the living management key if the caller may manage it.
func managerOf(v store.View, who *principal, id gatehouse.ID) (*gatehouse.ManagementKey, error) {
	k, err := found(v.ManagementKey(id))
	if err != nil {
		return nil, err
	}
	if k == nil || !k.DeleteTime.IsZero() || !mayManage(k, who) {
		return nil, missing(managementNoun)
	}
	return k, nil
}

// shownManager is a management key as faces get it: without digests.
func shownManager(k *gatehouse.ManagementKey) *gatehouse.ManagementKey {
	out := *k
	out.Secrets = bare(k.Secrets)
	return &out
}

// unique drops repeats and keeps the order.
func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
