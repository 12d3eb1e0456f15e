package control

import (
	"context"
	"fmt"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// clockSkew is how far in the past a caller's "now" may lie: scripts that
// retire the old secret at once send their own clock's time.
const clockSkew = time.Minute

// RotateKey implements gatehouse.Keys.
func (c *Caller) RotateKey(ctx context.Context, r gatehouse.KeyRotation) (gatehouse.MintedKey, error) {
	token := gatehouse.MintToken(c.s.Brand, gatehouse.Inference, r.ID)
	return mutate(ctx, c, mutation[gatehouse.MintedKey]{
		op: gatehouse.RotateApiKey, target: r.ID.String(), secret: true,
		run: func(tx store.Tx, who *principal) (gatehouse.MintedKey, error) {
			before, err := keyOf(tx, who, r.ID)
			if err == nil {
				err = c.matches(before.Revision)
			}
			if err != nil {
				return gatehouse.MintedKey{}, err
			}
			k := touch(before, who)
			set(&k.ExpireTime, r.ExpireTime)
			var bad gatehouse.Violations
			k.Secrets = rotated(before.Secrets, token, before.Expired(who.now), r.OldSecretExpire, who.now, &bad)
			if err := rotationOf(r, who.now, &bad); err != nil {
				return gatehouse.MintedKey{}, err
			}
			warnings, err := judge(tx, who, k, touched{expire: r.ExpireTime.Set})
			if err != nil {
				return gatehouse.MintedKey{}, err
			}
			act := done(gatehouse.RotateApiKey, "api_key.rotated", k.TeamID, gatehouse.KindKey, k.ID.String(),
				fmt.Sprintf("API key '%s' was rotated", k.Name))
			act.Details = rotationDetails(before.Secrets, k.Secrets, keyChanges(before, k))
			if err := tx.PutKey(k, act); err != nil {
				return gatehouse.MintedKey{}, err
			}
			return gatehouse.MintedKey{Key: shown(k), Token: token, Warnings: warnings}, nil
		},
	})
}

// rotationOf collects what is wrong with the times of a rotation, so that both
// are named at once.
func rotationOf(r gatehouse.KeyRotation, now time.Time, bad *gatehouse.Violations) error {
	if r.ExpireTime.Set {
		expiry("expireTime", r.ExpireTime.Value, now, bad)
	}
	return bad.Err()
}

// rotated puts the new secret before the newest old one. There are never more
// than two: a rotation during an overlap retires the older. An old secret that
// worked no more, since its key had expired, must not work again because the
// rotation gave the key a later end.
func rotated(old []gatehouse.Secret, token gatehouse.Token, expired bool, until, now time.Time, bad *gatehouse.Violations) []gatehouse.Secret {
	out := []gatehouse.Secret{{Digest: token.Digest(), Last4: token.Last4(), CreateTime: utc(now)}}
	switch {
	case until.IsZero():
		until = now.Add(gatehouse.DefaultOverlap)
	case until.After(now.Add(gatehouse.MaxOverlap)):
		bad.Addf("oldSecretExpireTime", "must be at most 7 days from now")
	case until.Before(now.Add(-clockSkew)):
		bad.Addf("oldSecretExpireTime", "must not be in the past")
	}
	live := living(old, now)
	if len(live) == 0 || expired || past(until, now) {
		return out
	}
	last := live[0]
	last.ExpireTime = utc(until)
	return append(out, last)
}

func rotationDetails(before, after []gatehouse.Secret, c changes) changes {
	c["last4"] = after[0].Last4
	if len(after) > 1 {
		c["oldSecretExpireTime"] = show(after[1].ExpireTime)
	}
	if len(before) > 1 {
		c["retired"] = before[1].Last4
	}
	return c
}
