package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const keyNoun = "API key"

// CreateKey implements gatehouse.Keys. The secret is minted outside the
// transaction, which may run twice: both runs then store the same key.
func (c *Caller) CreateKey(ctx context.Context, n gatehouse.NewKey) (gatehouse.MintedKey, error) {
	id := gatehouse.NewID()
	token := gatehouse.MintToken(c.s.Brand, gatehouse.Inference, id)
	return mutate(ctx, c, mutation[gatehouse.MintedKey]{
		op: gatehouse.CreateApiKey, target: n.TeamID.String(), secret: true,
		run: func(tx store.Tx, who *principal) (gatehouse.MintedKey, error) {
			if _, err := liveTeam(tx, who, who.home(n.TeamID)); err != nil {
				return gatehouse.MintedKey{}, err
			}
			k := fresh(n, id, who)
			k.Secrets = []gatehouse.Secret{{Digest: token.Digest(), Last4: token.Last4(), CreateTime: k.CreateTime}}
			warnings, err := judge(tx, who, k, touched{name: true, acl: true, expire: true, owner: true})
			if err != nil {
				return gatehouse.MintedKey{}, err
			}
			if k.Strict {
				k.StrictSince = tx.At()
			}
			act := done(gatehouse.CreateApiKey, "api_key.created", k.TeamID, gatehouse.KindKey, k.ID.String(),
				fmt.Sprintf("API key '%s' was created", k.Name))
			act.Details = map[string]string{"acls": short(fmt.Sprint([]string(k.ACL))), "last4": token.Last4()}
			if err := tx.PutKey(k, act); err != nil {
				return gatehouse.MintedKey{}, err
			}
			return gatehouse.MintedKey{Key: shown(k), Token: token, Warnings: warnings}, nil
		},
	})
}

// fresh is the key that was asked for, before anything was judged. Who made it,
// and when, is never the caller's to say.
func fresh(n gatehouse.NewKey, id gatehouse.ID, who *principal) *gatehouse.Key {
	now := utc(who.now)
	return &gatehouse.Key{
		ID: id, TeamID: who.home(n.TeamID), UserID: who.UserID, OwnerID: n.OwnerID, MakerID: who.ID,
		Name: n.Name, ACL: slices.Clone(n.ACL), Limits: n.Limits, Strict: n.Strict, ReserveTPM: n.ReserveTPM,
		IPRanges: slices.Clone(n.IPRanges), Tags: maps.Clone(n.Tags), ExpireTime: n.ExpireTime,
		CreateTime: now, ModifyTime: now, ModifiedBy: who.ID,
	}
}

// touched says which fields a request named, among those whose check needs
// more than the value: an expiry that has passed since it was set, an alias
// that has moved and a user who has left are no reason to refuse a new name.
type touched struct{ name, acl, expire, owner bool }

// judge validates what would be stored, all of it at once, and then holds it
// against the caller's ceiling: the result and not the request, so that no
// sequence of small steps leads past it.
func judge(v store.View, who *principal, k *gatehouse.Key, t touched) (warnings []string, err error) {
	var bad gatehouse.Violations
	if t.name {
		k.Name = name("name", k.Name, &bad)
	}
	if t.expire {
		k.ExpireTime = expiry("expireTime", k.ExpireTime, who.now, &bad)
	}
	if t.owner {
		if err := memberOf(v, "ownerUserId", k.OwnerID, k.TeamID, &bad); err != nil {
			return nil, err
		}
	}
	k.Limits.Validate(&bad)
	gatehouse.ValidateTags("tags", k.Tags, &bad)
	k.IPRanges = ranges("ipRanges", k.IPRanges, &bad)
	if t.acl {
		if k.ACL, warnings, err = grantable(v, "acls", k.ACL, &bad); err != nil {
			return nil, err
		}
	}
	if len(bad) > 0 {
		return nil, bad.Err()
	}
	who.Grant.Admits(k, &bad)
	return warnings, beyond(bad)
}

// GetKey implements gatehouse.Keys.
func (c *Caller) GetKey(ctx context.Context, id gatehouse.ID) (*gatehouse.Key, error) {
	return read(ctx, c, query[*gatehouse.Key]{
		op: gatehouse.GetApiKey, act: reading("api_key.read", gatehouse.KindKey, id.String()),
		run: func(v store.View, who *principal) (*gatehouse.Key, error) {
			k, err := keyOf(v, who, id)
			if err != nil {
				return nil, err
			}
			return used(v, k)
		},
	})
}

// ListKeys implements gatehouse.Keys. The page token is sealed to the team that
// the caller's authority yields, never to the one in the path alone.
func (c *Caller) ListKeys(ctx context.Context, q gatehouse.KeyQuery) ([]*gatehouse.Key, string, error) {
	var bad gatehouse.Violations
	gatehouse.ACL(q.ACL).Validate("aclFilters", &bad)
	if err := bad.Err(); err != nil {
		return nil, "", first(err, c.Authorize(ctx, gatehouse.ListApiKeys))
	}
	list := read[listed[*gatehouse.Key]]
	if q.LastUse {
		list = survey[listed[*gatehouse.Key]] // one look-up a key
	}
	page, err := list(ctx, c, query[listed[*gatehouse.Key]]{
		op: gatehouse.ListApiKeys, act: gatehouse.Act{Action: "api_key.listed", Kind: gatehouse.KindKey, TeamID: q.TeamID},
		check: func(v store.View, who *principal) error {
			_, err := liveTeam(v, who, who.home(q.TeamID))
			return err
		},
		run: func(v store.View, who *principal) (out listed[*gatehouse.Key], err error) {
			team, err := liveTeam(v, who, who.home(q.TeamID))
			if err != nil {
				return out, err
			}
			p, err := c.pager(gatehouse.ListApiKeys, team.ID, filterOf([]any{q.UserID, q.ACL, q.ActiveOnly}), q.Page)
			if err != nil {
				return out, err
			}
			keys, err := v.Keys(store.KeyList{
				Team: team.ID, User: q.UserID, ACL: q.ACL, ActiveOnly: q.ActiveOnly, Now: who.now,
				After: p.cursor(), Limit: p.size + 1,
			})
			if err != nil {
				return out, err
			}
			for i, k := range keys {
				keys[i] = shown(k)
				if q.LastUse {
					if keys[i], err = used(v, k); err != nil {
						return out, err
					}
				}
			}
			return cut(p, keys, func(k *gatehouse.Key) place { return place{Time: k.CreateTime, ID: k.ID.String()} })
		},
	})
	return page.unpack(err)
}

// first prefers the answer about who asks over the one about what was asked.
func first(err, authority error) error {
	if authority != nil {
		return authority
	}
	return err
}

// UpdateKey implements gatehouse.Keys. Nothing that is not in KeyUpdate can
// change: team, creator, id and creation time have no field there (T06).
func (c *Caller) UpdateKey(ctx context.Context, u gatehouse.KeyUpdate) (gatehouse.MintedKey, error) {
	return mutate(ctx, c, mutation[gatehouse.MintedKey]{
		op: gatehouse.UpdateApiKey, target: u.ID.String(),
		run: func(tx store.Tx, who *principal) (gatehouse.MintedKey, error) {
			before, err := keyOf(tx, who, u.ID)
			if err == nil && !u.TeamID.IsZero() && u.TeamID != before.TeamID {
				err = missing(keyNoun)
			}
			if err == nil {
				err = c.matches(before.Revision, u.IfMatch)
			}
			if err != nil {
				return gatehouse.MintedKey{}, err
			}
			k := amended(before, u, who)
			warnings, err := judge(tx, who, k, touched{u.Name.Set, u.ACL.Set, u.ExpireTime.Set, u.OwnerID.Set})
			if err != nil {
				return gatehouse.MintedKey{}, err
			}
			if k.Strict && !before.Strict {
				k.StrictSince = tx.At()
			}
			if err := tx.PutKey(k, updateAct(before, k)); err != nil {
				return gatehouse.MintedKey{}, err
			}
			after, err := used(tx, k)
			return gatehouse.MintedKey{Key: after, Warnings: warnings}, err
		},
	})
}

// amended is a copy of k with exactly the named fields changed.
func amended(k *gatehouse.Key, u gatehouse.KeyUpdate, who *principal) *gatehouse.Key {
	out := touch(k, who)
	set(&out.Name, u.Name)
	set(&out.ACL, u.ACL)
	set(&out.Limits.QPS, u.QPS)
	set(&out.Limits.QPM, u.QPM)
	set(&out.Limits.TPM, u.TPM)
	set(&out.Disabled, u.Disabled)
	set(&out.ExpireTime, u.ExpireTime)
	set(&out.Strict, u.Strict)
	set(&out.ReserveTPM, u.ReserveTPM)
	set(&out.IPRanges, u.IPRanges)
	set(&out.Tags, u.Tags)
	set(&out.OwnerID, u.OwnerID)
	if !out.Strict {
		out.StrictSince = gatehouse.Revision{}
	}
	return out
}

// set writes a field that the update names; clearing is naming it with its zero.
func set[T any](field *T, o gatehouse.Opt[T]) {
	if o.Set {
		*field = o.Value
	}
}

// touch is a copy of k marked as modified, without secrets that have expired.
// The time always moves on, even where the clock did not: that a key was never
// modified is how [removes] knows that nothing was taken from it.
func touch(k *gatehouse.Key, who *principal) *gatehouse.Key {
	out := *k
	out.Secrets = living(k.Secrets, who.now)
	out.ModifyTime, out.ModifiedBy = utc(who.now), who.ID
	if !out.ModifyTime.After(k.ModifyTime) {
		out.ModifyTime = k.ModifyTime.Add(time.Microsecond)
	}
	return &out
}

// living drops expired secrets; they go at the next write, whatever it is.
func living(secrets []gatehouse.Secret, now time.Time) []gatehouse.Secret {
	return slices.DeleteFunc(slices.Clone(secrets), func(s gatehouse.Secret) bool { return past(s.ExpireTime, now) })
}

// updateAct calls a switch of the key by its own name, since that is what people
// look for in a log; whatever else changed is in the details.
func updateAct(before, after *gatehouse.Key) gatehouse.Act {
	verb := "updated"
	switch {
	case after.Disabled && !before.Disabled:
		verb = "disabled"
	case before.Disabled && !after.Disabled:
		verb = "enabled"
	}
	act := done(gatehouse.UpdateApiKey, "api_key."+verb, after.TeamID, gatehouse.KindKey, after.ID.String(),
		fmt.Sprintf("API key '%s' was %s", after.Name, verb))
	act.Details = keyChanges(before, after)
	return act
}

// DeleteKey implements gatehouse.Keys. The tombstone keeps everything but the
// secrets: the log stays readable and propagation answerable.
func (c *Caller) DeleteKey(ctx context.Context, id gatehouse.ID) error {
	_, err := mutate(ctx, c, mutation[struct{}]{
		op: gatehouse.DeleteApiKey, target: id.String(),
		run: func(tx store.Tx, who *principal) (struct{}, error) {
			before, err := keyOf(tx, who, id)
			if err == nil {
				err = c.matches(before.Revision)
			}
			if err != nil {
				return struct{}{}, err
			}
			k := touch(before, who)
			k.Secrets, k.DeleteTime = nil, k.ModifyTime
			return struct{}{}, tx.PutKey(k, done(gatehouse.DeleteApiKey, "api_key.deleted", k.TeamID, gatehouse.KindKey,
				k.ID.String(), fmt.Sprintf("API key '%s' was deleted", k.Name)))
		},
	})
	return err
}

// keyOf is the living key if the caller's team has it.
func keyOf(v store.View, who *principal, id gatehouse.ID) (*gatehouse.Key, error) {
	k, err := found(v.Key(id))
	if err != nil {
		return nil, err
	}
	if k == nil || !who.reaches(k.TeamID) || k.Deleted() {
		return nil, missing(keyNoun)
	}
	return k, nil
}

// shown is a key as faces get it: without digests, which go to gateways alone.
func shown(k *gatehouse.Key) *gatehouse.Key {
	out := *k
	out.Secrets = bare(k.Secrets)
	return &out
}

// used is shown, with when each secret was last used: for answers about one
// key, since it is another read of the store.
func used(v store.View, k *gatehouse.Key) (*gatehouse.Key, error) {
	last, err := v.LastUse(k.ID)
	if err != nil {
		return nil, err
	}
	out := shown(k)
	for i := range out.Secrets {
		out.Secrets[i].LastUse = last[out.Secrets[i].Last4]
	}
	return out, nil
}

// bare is secrets without what identifies them.
func bare(secrets []gatehouse.Secret) []gatehouse.Secret {
	out := slices.Clone(secrets)
	for i := range out {
		out[i].Digest = gatehouse.Digest{}
	}
	return out
}
