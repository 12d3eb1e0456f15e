package control

import (
	"context"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/store"
)

const (
	// maxWait bounds ?wait= (contract.md).
	maxWait = 60 * time.Second
	// askAgain is how often acknowledgements are looked for. They come through
	// the store's Work door, which wakes nobody.
	askAgain = 25 * time.Millisecond
	// tombstoneAnswers is how long a deleted key's propagation is answered.
	tombstoneAnswers = 30 * 24 * time.Hour
)

// Propagation implements gatehouse.Keys.
func (c *Caller) Propagation(ctx context.Context, id gatehouse.ID, wait time.Duration) (map[string]bool, error) {
	if wait < 0 || wait > maxWait {
		err := gatehouse.Violations{{Field: "wait", Problem: "must be 0 to 60 s"}}.Err()
		return nil, first(err, c.Authorize(ctx, gatehouse.CheckApiKeyPropagation))
	}
	k, err := read(ctx, c, query[*gatehouse.Key]{
		op: gatehouse.CheckApiKeyPropagation, act: reading("api_key.propagation_read", gatehouse.KindKey, id.String()),
		run: func(v store.View, who *principal) (*gatehouse.Key, error) { return buriedKey(v, who, id) },
	})
	if err != nil {
		return nil, err
	}
	return c.awaited(ctx, k, wait)
}

// buriedKey is the key, tombstone or not.
func buriedKey(v store.View, who *principal, id gatehouse.ID) (*gatehouse.Key, error) {
	k, err := found(v.Key(id))
	if err != nil {
		return nil, err
	}
	if k == nil || !who.reaches(k.TeamID) || k.Deleted() && who.now.Sub(k.DeleteTime) > tombstoneAnswers {
		return nil, missing(keyNoun)
	}
	return k, nil
}

// awaited asks until every cluster says yes or the wait is over, and then
// tells the state of that moment.
func (c *Caller) awaited(ctx context.Context, k *gatehouse.Key, wait time.Duration) (map[string]bool, error) {
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		changed := c.s.Store.Changed()
		state, err := c.propagated(ctx, k)
		if err != nil || all(state) || wait == 0 {
			return state, err
		}
		again := time.NewTimer(askAgain)
		select {
		case <-changed:
		case <-again.C:
		case <-over.C:
			wait = 0 // one last look
		case <-c.s.Stopping:
			wait = 0
		case <-ctx.Done():
			again.Stop()
			return nil, gatehouse.Errorf(gatehouse.DeadlineExceeded, "the request ended before its wait").Because(ctx.Err())
		}
		again.Stop()
	}
}

// propagated reads the fleet. The caller is authorised anew each time: a
// minute is long enough to be revoked in.
func (c *Caller) propagated(ctx context.Context, k *gatehouse.Key) (state map[string]bool, err error) {
	err = c.s.Store.View(store.System(ctx), func(v store.View) error {
		if _, err := c.authorise(v, gatehouse.CheckApiKeyPropagation); err != nil {
			return err
		}
		gateways, err := v.Gateways()
		if err != nil {
			return err
		}
		clusters, err := v.Clusters()
		if err != nil {
			return err
		}
		change := feed.Change{At: k.Revision, Removal: removes(k), StrictSince: k.StrictSince}
		state = change.Propagated(gateways, clusters, c.s.Now())
		return nil
	})
	return state, err
}

// removes reports whether the key's last change may have taken authority away.
// Only a key that was never modified provably did not: an update that merely
// adds is awaited as strictly as one that removes, which is late and never wrong.
func removes(k *gatehouse.Key) bool { return k.Deleted() || !k.ModifyTime.Equal(k.CreateTime) }

// all reports whether there is a cluster and none says no.
func all(state map[string]bool) bool {
	for _, ok := range state {
		if !ok {
			return false
		}
	}
	return len(state) > 0
}
