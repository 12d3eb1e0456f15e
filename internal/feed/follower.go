package feed

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"gatehouse"
)

// FollowerConfig is what a Follower works with. The last three may be nil.
type FollowerConfig struct {
	Feed    Feed
	Replica *Replica
	Gateway gatehouse.ID // this member, by the id in its data directory
	Cluster string
	Version string
	Verify  func(msg, sig []byte) bool // by the installation's signing key
	Now     func() time.Time
	Log     *slog.Logger
	OnApply func(gatehouse.Revision) // after each new revision is served
	// Archive, when set, keeps on disk what is served.
	Archive *Archive
	// OnVerifiers, when set, is told when control changes the keys that it signs
	// by. Verify must know them when it returns.
	OnVerifiers func([][]byte) error
}

// Follower keeps a replica up to date.
type Follower struct {
	FollowerConfig
	gate    chan struct{} // held while applying, and while frozen
	refused string        // why the last batch was refused whole
	told    string        // the last problem that was logged
	// verifiers are those that were told last.
	verifiers [][]byte
	offer     bool // control asked for what is deleted
}

// The waits after a failed poll: doubled each time, and spread, so that a fleet
// that lost control does not come back as one (reliability.md §1b, 12 Jun 2025).
const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// NewFollower returns a follower that does nothing until Run.
func NewFollower(c FollowerConfig) *Follower {
	return &Follower{FollowerConfig: c, gate: make(chan struct{}, 1)}
}

// Run follows until ctx ends. Errors never end it: they are logged, and the
// replica goes on serving what it has.
func (f *Follower) Run(ctx context.Context) {
	if f.Archive != nil {
		var renewing sync.WaitGroup
		renewing.Go(func() { f.renew(ctx) })
		defer renewing.Wait()
	}
	backoff := firstBackoff
	for ctx.Err() == nil {
		err := f.step(ctx)
		if err == nil {
			backoff = firstBackoff
			continue
		}
		if ctx.Err() != nil {
			return
		}
		f.Log.Warn("feed poll failed", "err", err, "applied", f.Replica.Applied().String())
		pause(ctx, max(retryAfter(err), backoff/2+rand.N(backoff/2)))
		backoff = min(2*backoff, lastBackoff)
	}
}

// Freeze stops applying, and returns when nothing is being applied. Until Thaw
// nothing is acknowledged either. It is a probe: tests and drills use it to see
// that propagation waits for what is enforced and not for what was sent.
func (f *Follower) Freeze() { f.gate <- struct{}{} }

// Thaw ends Freeze.
func (f *Follower) Thaw() { <-f.gate }

// step makes one poll and applies its answer.
func (f *Follower) step(ctx context.Context) error {
	p := f.poll()
	sent := f.Now() // before sending: the lease lives from here
	signed, err := f.Feed.Pull(ctx, p)
	f.offer = gatehouse.CodeOf(err) == gatehouse.FailedPrecondition
	if errors.Is(err, ErrForgotten) {
		f.forgotten()
	}
	if err != nil {
		return err
	}
	select {
	case f.gate <- struct{}{}:
		defer func() { <-f.gate }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := f.apply(signed, p.Nonce, sent); err != nil {
		f.refused = clip("batch refused: " + gatehouse.Public(err))
		f.Replica.abandon()
		return err
	}
	f.refused = ""
	f.tell(f.Replica.Problem())
	return nil
}

// tell logs a problem once and not with every poll.
func (f *Follower) tell(problem string) {
	if problem != "" && problem != f.told {
		f.Log.Error("records of the feed are denied", "problem", problem)
	}
	f.told = problem
}

func (f *Follower) poll() Poll {
	p := Poll{
		Gateway: f.Gateway, Cluster: f.Cluster, Version: f.Version,
		Enforced: f.Replica.Applied(), Ready: f.Replica.Ready(),
		Problem: cmp.Or(f.refused, f.Replica.Problem(), f.Archive.Problem()), Nonce: rand.Uint64(), Wire: Wire,
	}
	p.Session, p.Part = f.Replica.resume()
	if f.offer {
		p.Offer = &Offer{Tombstones: f.Replica.Tombstones()}
	}
	return p
}

func (f *Follower) apply(signed Signed, nonce uint64, sent time.Time) error {
	b, err := Open(signed, f.Verify)
	if err != nil {
		return err
	}
	if b.Nonce != nonce {
		return gatehouse.Errorf(gatehouse.Conflict, "feed: the batch answers another poll")
	}
	before := f.Replica.Applied()
	if err := f.Replica.Apply(&b, sent); err != nil {
		return err
	}
	if f.Archive != nil {
		f.Archive.keep(signed, &b, sent, f.Replica) // before the next poll acknowledges it
	}
	f.trust(b.Verifiers)
	if after := f.Replica.Applied(); after != before && f.OnApply != nil {
		f.OnApply(after)
	}
	return nil
}

// trust takes over the keys that control signs by from now on.
func (f *Follower) trust(keys [][]byte) {
	if keys == nil || f.OnVerifiers == nil || slices.EqualFunc(keys, f.verifiers, bytes.Equal) {
		return
	}
	if err := f.OnVerifiers(keys); err != nil {
		f.Log.Error("the keys that control signs by were not taken over", "err", err)
		return
	}
	f.verifiers = keys
	if f.Archive != nil {
		f.Archive.recheck()
	}
}

func retryAfter(err error) time.Duration {
	var e *gatehouse.Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
