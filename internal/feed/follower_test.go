package feed_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
)

// script answers polls one by one; when it has no more, polls wait.
type script struct {
	answers []func(feed.Poll) (feed.Signed, error)
	polls   []feed.Poll
}

func (s *script) Pull(ctx context.Context, p feed.Poll) (feed.Signed, error) {
	s.polls = append(s.polls, p)
	if len(s.answers) == 0 {
		<-ctx.Done()
		return feed.Signed{}, ctx.Err()
	}
	next := s.answers[0]
	s.answers = s.answers[1:]
	return next(p)
}

func answer(b *feed.Batch) func(feed.Poll) (feed.Signed, error) {
	return func(p feed.Poll) (feed.Signed, error) {
		b.Nonce = p.Nonce
		return feed.Sign(b, sign), nil
	}
}

// follow runs a follower over s in a synctest bubble while check looks on.
// Before it runs, prepare is called.
func follow(t *testing.T, s *script, check func(*feed.Follower, *feed.Replica, *bytes.Buffer), prepare ...func(*feed.Follower)) {
	synctest.Test(t, func(t *testing.T) {
		r, log := feed.NewReplica("local"), new(bytes.Buffer)
		f := feed.NewFollower(feed.FollowerConfig{
			Feed: s, Replica: r, Gateway: testID(1), Cluster: "local", Version: "1",
			Verify: verify, Now: time.Now, Log: slog.New(slog.NewTextHandler(log, nil)),
		})
		for _, p := range prepare {
			p(f)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); f.Run(ctx) }()
		check(f, r, log)
		stop()
		<-done
	})
}

func TestARevisionIsAcknowledgedOnlyOnceItIsServed(t *testing.T) {
	s := &script{answers: []func(feed.Poll) (feed.Signed, error){answer(snapshot(4)), answer(step(4, 5, put(t, testKey(1), 5)))}}
	follow(t, s, func(f *feed.Follower, r *feed.Replica, _ *bytes.Buffer) {
		synctest.Wait()
		if len(s.polls) != 1 || r.Ready() {
			t.Errorf("frozen, yet %d polls and ready %v", len(s.polls), r.Ready())
		}
		f.Thaw()
		synctest.Wait()
		var acks []string
		for _, p := range s.polls {
			acks = append(acks, p.Enforced.String())
		}
		if got := strings.Join(acks, " "); got != "0.0 1.4 1.5" || !found(r, "secret 1") {
			t.Errorf("acknowledged %s", got)
		}
	}, (*feed.Follower).Freeze)
}

// changesOnly has no snapshots for the disk.
type changesOnly struct{ feed.Feed }

func (c changesOnly) Pull(ctx context.Context, p feed.Poll) (feed.Signed, error) {
	if p.Archive {
		return feed.Signed{}, gatehouse.Errorf(gatehouse.Unavailable, "not now").After(time.Hour)
	}
	return c.Feed.Pull(ctx, p)
}

// Nobody waits for a forgotten gateway, so it must serve nothing, now and after a
// restart. Any other refusal is a reason to wait for control and no more.
func TestAForgottenGatewayStopsServing(t *testing.T) {
	refuse := func(cause error) func(feed.Poll) (feed.Signed, error) {
		return func(feed.Poll) (feed.Signed, error) {
			return feed.Signed{}, gatehouse.Errorf(gatehouse.Unauthenticated, "no").Because(cause)
		}
	}
	grant := step(1, 1)
	grant.Lease = feed.LeaseLength
	pause := func(p feed.Poll) (feed.Signed, error) {
		time.Sleep(5 * time.Second) // virtual
		return answer(step(1, 1))(p)
	}
	s := &script{answers: []func(feed.Poll) (feed.Signed, error){
		answer(snapshot(1, put(t, testKey(1), 1))), answer(grant), refuse(nil), pause, refuse(feed.ErrForgotten), refuse(feed.ErrForgotten), pause,
	}}
	dir := t.TempDir()
	fresh := func() feed.ArchiveConfig {
		return feed.ArchiveConfig{Dir: dir, Verify: verify, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	}
	restored := func() error { return feed.NewArchive(fresh()).Restore(feed.NewMemberReplica("local", nil)) }
	follow(t, s, func(f *feed.Follower, r *feed.Replica, log *bytes.Buffer) {
		time.Sleep(time.Second)
		synctest.Wait()
		if !r.Fresh(time.Now()) || !r.Leased(time.Now()) || r.Forgotten() || restored() != nil {
			t.Errorf("a refusal without proof stopped the gateway: stale %v, from disk %v", r.Stale(time.Now()), restored())
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if r.Fresh(time.Now()) || r.Leased(time.Now()) || !r.Forgotten() {
			t.Errorf("forgotten, and it serves on: stale %v", r.Stale(time.Now()))
		}
		if err := restored(); gatehouse.CodeOf(err) != gatehouse.NotFound {
			t.Errorf("forgotten, and a restart serves what is on disk: %v", err)
		}
		if n := strings.Count(log.String(), "has forgotten this gateway"); n != 1 {
			t.Errorf("the operator is told %d times", n)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !r.Fresh(time.Now()) || r.Forgotten() {
			t.Error("control knows the gateway again, and it does not serve")
		}
	}, func(f *feed.Follower) { f.Archive, f.Feed = feed.NewArchive(fresh()), changesOnly{s} })
}

func TestALeaseIsCountedFromSendingThePoll(t *testing.T) {
	grant := step(1, 1)
	grant.Lease = feed.LeaseLength
	slow := func(p feed.Poll) (feed.Signed, error) {
		time.Sleep(4 * time.Second) // virtual
		return answer(grant)(p)
	}
	s := &script{answers: []func(feed.Poll) (feed.Signed, error){answer(snapshot(1)), slow}}
	follow(t, s, func(_ *feed.Follower, r *feed.Replica, _ *bytes.Buffer) {
		asked := time.Now()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if end := asked.Add(feed.LeaseLength); !r.Leased(end.Add(-1)) || r.Leased(end) {
			t.Error("the lease does not end ten seconds after the poll was sent")
		}
	})
}

func TestWhatIsNotControlsAnswerIsRefusedWholeAndReported(t *testing.T) {
	forged := func(feed.Poll) (feed.Signed, error) {
		return feed.Signed{Payload: step(1, 2, put(t, testKey(1), 2)).Encode(), Signature: []byte("no")}, nil
	}
	replayed := func(p feed.Poll) (feed.Signed, error) {
		b := step(1, 2, put(t, testKey(1), 2))
		b.Nonce = p.Nonce + 1
		return feed.Sign(b, sign), nil
	}
	for name, bad := range map[string]func(feed.Poll) (feed.Signed, error){"forged": forged, "replayed": replayed} {
		t.Run(name, func(t *testing.T) {
			s := &script{answers: []func(feed.Poll) (feed.Signed, error){answer(snapshot(1)), bad}}
			follow(t, s, func(_ *feed.Follower, r *feed.Replica, _ *bytes.Buffer) {
				time.Sleep(time.Second)
				synctest.Wait()
				last := s.polls[len(s.polls)-1]
				if found(r, "secret 1") || last.Enforced != rev(1) || !strings.HasPrefix(last.Problem, "batch refused: feed: ") {
					t.Errorf("next poll: %+v", last)
				}
			})
		})
	}
}

func TestAQuarantinedRecordIsReportedWithTheNextPoll(t *testing.T) {
	s := &script{answers: []func(feed.Poll) (feed.Signed, error){answer(snapshot(1, raw("curfew", "x", "{}")))}}
	follow(t, s, func(*feed.Follower, *feed.Replica, *bytes.Buffer) {
		synctest.Wait()
		if p := s.polls[len(s.polls)-1]; p.Enforced != rev(1) || p.Problem != "1 denied; curfew x: unknown kind" {
			t.Errorf("next poll: %+v", p)
		}
	})
}

// Control away: what is known is served on, and polls thin out.
func TestPollsBackOffWhileControlIsAway(t *testing.T) {
	s := &script{answers: []func(feed.Poll) (feed.Signed, error){answer(snapshot(1, put(t, testKey(1), 1)))}}
	for range 1000 {
		s.answers = append(s.answers, func(feed.Poll) (feed.Signed, error) { return feed.Signed{}, errors.New("connection refused") })
	}
	follow(t, s, func(_ *feed.Follower, r *feed.Replica, log *bytes.Buffer) {
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(s.polls); n < 15 || n > 40 {
			t.Errorf("%d polls in a minute", n)
		}
		if !found(r, "secret 1") || !r.Fresh(time.Now()) || r.Leased(time.Now()) {
			t.Error("the last good state is not what is served, or under a lease")
		}
		if !strings.Contains(log.String(), "connection refused") {
			t.Error("nobody hears of it")
		}
	})
}

func TestEachNewRevisionIsToldOnce(t *testing.T) {
	s := &script{answers: []func(feed.Poll) (feed.Signed, error){answer(snapshot(1)), answer(step(1, 1)), answer(step(1, 2))}}
	synctest.Test(t, func(t *testing.T) {
		var told []gatehouse.Revision
		f := feed.NewFollower(feed.FollowerConfig{
			Feed: s, Replica: feed.NewReplica("local"), Gateway: testID(1), Cluster: "local",
			Verify: verify, Now: time.Now, Log: slog.New(slog.DiscardHandler),
			OnApply: func(r gatehouse.Revision) { told = append(told, r) },
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); f.Run(ctx) }()
		synctest.Wait()
		stop()
		<-done
		if len(told) != 2 || told[0] != rev(1) || told[1] != rev(2) {
			t.Errorf("told of %v", told)
		}
	})
}
