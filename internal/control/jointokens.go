package control

import (
	"context"
	"fmt"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const joinTokenNoun = "join token"

type mintedJoin = gatehouse.MintedJoinToken

// CreateJoinToken implements gatehouse.JoinTokens. The secret is minted outside
// the transaction, like a key's.
func (c *Caller) CreateJoinToken(ctx context.Context, n gatehouse.NewJoinToken) (mintedJoin, error) {
	id := gatehouse.NewID()
	token := gatehouse.MintToken(c.s.Brand, gatehouse.Join, id)
	return mutate(ctx, c, mutation[mintedJoin]{
		op: gatehouse.CreateJoinToken, target: n.Cluster, secret: true,
		run: func(tx store.Tx, who *principal) (mintedJoin, error) {
			t := freshJoin(n, id, who)
			t.Digest, t.Last4 = token.Digest(), token.Last4()
			if err := checkJoin(tx, n, t); err != nil {
				return mintedJoin{}, err
			}
			act := done(gatehouse.CreateJoinToken, "join_token.created", gatehouse.ID{}, gatehouse.KindJoinToken, id.String(),
				fmt.Sprintf("A join token of cluster '%s' was created", t.Cluster))
			act.Details = map[string]string{"cluster": t.Cluster, "uses": fmt.Sprint(t.Uses), "expireTime": show(t.ExpireTime), "last4": t.Last4}
			if err := tx.PutJoinToken(t, act); err != nil {
				return mintedJoin{}, err
			}
			return mintedJoin{Token: shownJoin(t), Secret: token}, nil
		},
	})
}

// freshJoin is the join token that was asked for, with what it gets unasked.
func freshJoin(n gatehouse.NewJoinToken, id gatehouse.ID, who *principal) *gatehouse.JoinToken {
	if n.Lifetime == 0 {
		n.Lifetime = gatehouse.DefaultJoinLifetime
	}
	if n.Uses == 0 {
		n.Uses = 1
	}
	now := utc(who.now)
	return &gatehouse.JoinToken{
		ID: id, Cluster: n.Cluster, Uses: n.Uses, MakerID: who.ID,
		CreateTime: now, ExpireTime: utc(now.Add(n.Lifetime)),
	}
}

// checkJoin names everything that is wrong with a join token.
func checkJoin(v store.View, n gatehouse.NewJoinToken, t *gatehouse.JoinToken) error {
	var bad gatehouse.Violations
	cluster, err := present(v.Cluster(t.Cluster))
	if err != nil {
		return err
	}
	if cluster == nil {
		bad.Addf("cluster", "unknown cluster %q", short(t.Cluster))
	}
	if n.Lifetime < 0 || n.Lifetime > gatehouse.MaxJoinLifetime || n.Lifetime != 0 && n.Lifetime < time.Second {
		bad.Addf("lifetime", "must be 1s to %s", gatehouse.MaxJoinLifetime)
	}
	if t.Uses < 1 || t.Uses > gatehouse.MaxJoinUses {
		bad.Addf("uses", "must be 1 to %d", gatehouse.MaxJoinUses)
	}
	return bad.Err()
}

// ListJoinTokens implements gatehouse.JoinTokens.
func (c *Caller) ListJoinTokens(ctx context.Context, page gatehouse.Page) ([]*gatehouse.JoinToken, string, error) {
	out, err := read(ctx, c, query[listed[*gatehouse.JoinToken]]{
		op: gatehouse.ListJoinTokens, act: gatehouse.Act{Action: "join_token.listed", Kind: gatehouse.KindJoinToken},
		run: func(v store.View, _ *principal) (out listed[*gatehouse.JoinToken], err error) {
			p, err := c.pager(gatehouse.ListJoinTokens, gatehouse.ID{}, "", page)
			if err != nil {
				return out, err
			}
			tokens, err := v.JoinTokens(p.cursor(), p.size+1)
			if err != nil {
				return out, err
			}
			for i, t := range tokens {
				tokens[i] = shownJoin(t)
			}
			return cut(p, tokens, func(t *gatehouse.JoinToken) place { return place{Time: t.CreateTime, ID: t.ID.String()} })
		},
	})
	return out.unpack(err)
}

// GetJoinToken implements gatehouse.JoinTokens.
func (c *Caller) GetJoinToken(ctx context.Context, id gatehouse.ID) (*gatehouse.JoinToken, error) {
	return read(ctx, c, query[*gatehouse.JoinToken]{
		op: gatehouse.GetJoinToken, act: reading("join_token.read", gatehouse.KindJoinToken, id.String()),
		run: func(v store.View, _ *principal) (*gatehouse.JoinToken, error) {
			t, err := joinTokenOf(v, id)
			if err != nil {
				return nil, err
			}
			return shownJoin(t), nil
		},
	})
}

// RevokeJoinToken implements gatehouse.JoinTokens.
func (c *Caller) RevokeJoinToken(ctx context.Context, id gatehouse.ID) error {
	return drop(ctx, c, gatehouse.RevokeJoinToken, id.String(), func(tx store.Tx) error {
		t, err := joinTokenOf(tx, id)
		if err == nil {
			err = c.matches(t.Revision)
		}
		if err != nil {
			return err
		}
		gone := *t
		gone.DeleteTime = utc(c.s.Now())
		return tx.PutJoinToken(&gone, done(gatehouse.RevokeJoinToken, "join_token.revoked", gatehouse.ID{}, gatehouse.KindJoinToken,
			id.String(), fmt.Sprintf("A join token of cluster '%s' was revoked", t.Cluster)))
	})
}

// joinTokenOf is the join token if it was not revoked.
func joinTokenOf(v store.View, id gatehouse.ID) (*gatehouse.JoinToken, error) {
	t, err := found(v.JoinToken(id))
	if err == nil && (t == nil || !t.DeleteTime.IsZero()) {
		err = missing(joinTokenNoun)
	}
	return t, err
}

// shownJoin is a join token as faces get it: without what identifies it.
func shownJoin(t *gatehouse.JoinToken) *gatehouse.JoinToken {
	out := *t
	out.Digest = gatehouse.Digest{}
	return &out
}
