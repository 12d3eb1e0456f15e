package feedtest

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/store"
)

func snapshotFirst(s *suite) {
	k, dead := s.key(), s.key()
	s.put(k, dead)
	dead.DeleteTime, dead.Secrets = time.Now(), nil
	s.put(dead)
	at := s.update(func(tx store.Tx) error {
		return errors.Join(
			tx.PutModel(&gatehouse.Model{Name: "grok-4", Type: gatehouse.LanguageModel, Owner: "xai"}, s.act(gatehouse.KindModel, "grok-4")),
			tx.PutAlias(&gatehouse.Alias{Name: "grok", Target: "grok-4"}, s.act(gatehouse.KindAlias, "grok")),
			tx.PutCluster(&gatehouse.Cluster{Name: "local"}, s.act(gatehouse.KindCluster, "local")),
			tx.PutPrice(&gatehouse.Price{ID: gatehouse.NewID(), Model: "grok-4", Effective: time.Now(), Units: map[string]gatehouse.Ticks{}, Source: "operator"}, s.act(gatehouse.KindPrice, "grok-4")),
			tx.PutUpstream(s.upstream("here"), s.act(gatehouse.KindUpstream, "here")),
		)
	})
	b := s.start()
	if b.To != at || !b.From.IsZero() {
		s.Errorf("from %s to %s, want everything up to %s", b.From, b.To, at)
	}
	kinds := map[gatehouse.Kind]int{}
	for _, r := range b.Records {
		kinds[r.Kind]++
	}
	for _, kind := range []gatehouse.Kind{gatehouse.KindTeam, gatehouse.KindModel, gatehouse.KindAlias, gatehouse.KindCluster, gatehouse.KindPrice, gatehouse.KindUpstream} {
		if kinds[kind] != 1 {
			s.Errorf("%d records of kind %s, want 1", kinds[kind], kind)
		}
	}
	if r := find(b, k.ID.String()); r == nil || r.Deleted || len(r.Body) == 0 {
		s.Errorf("the key's record: %+v", r)
	}
	if r := find(b, dead.ID.String()); r == nil || !r.Deleted {
		s.Errorf("the tombstone's record: %+v", r)
	}
}

func (s *suite) upstream(name string, clusters ...string) *gatehouse.Upstream {
	return &gatehouse.Upstream{
		ID: gatehouse.NewID(), Name: name, Kind: gatehouse.OpenAI, BaseURL: "https://upstream.example/v1", Credential: "sk-" + name + "-credential",
		Families: gatehouse.AllFamilies, Serves: []gatehouse.Serve{{Model: "*"}}, Clusters: clusters,
		HeaderTimeout: time.Minute, IdleTimeout: time.Minute,
	}
}

func changeArrives(s *suite) {
	s.put(s.key())
	s.start()
	k := s.key()
	arrived := make(chan *feed.Batch, 1)
	go func() {
		b, err := s.try()
		if err != nil {
			s.Error(err)
			b = new(feed.Batch)
		}
		arrived <- b
	}()
	at := s.put(k)
	acked := time.Now()
	b := <-arrived
	// The promise is 250 ms (R05); the suite allows for a busy machine.
	if d := time.Since(acked); d > time.Second {
		s.Errorf("it took %v", d)
	}
	if b.Snapshot || b.From != s.poll.Enforced || b.To != at || len(b.Records) != 1 || b.Records[0].ID != k.ID.String() {
		s.Errorf("the batch is %+v", b)
	}
}

func deletionArrives(s *suite) {
	k := s.key()
	s.put(k)
	s.start()
	k.DeleteTime, k.Secrets = time.Now(), nil
	s.put(k)
	if r := find(s.pull(), k.ID.String()); r == nil || !r.Deleted || len(r.Body) > 0 {
		s.Errorf("the record is %+v", r)
	}
}

func emptyRenews(s *suite) {
	b := s.start()
	s.took(s.drain())
	asked := time.Now()
	again := s.pull()
	if len(again.Records) > 0 || again.From != b.To || again.To != b.To || again.Lease != feed.LeaseLength {
		s.Errorf("the batch is %+v", again)
	}
	if d := time.Since(asked); d > 5*time.Second {
		s.Errorf("it took %v: a lease would run out", d)
	}
}

// drain polls until nothing newer exists.
func (s *suite) drain() *feed.Batch {
	for {
		b := s.pull()
		s.took(b)
		if b.From == b.To {
			return b
		}
	}
}

func acknowledges(s *suite) {
	s.start()
	at := s.put(s.key())
	s.took(s.pull())
	s.poll.Problem = "1 denied"
	granted := s.drain()
	until := time.Now().Add(granted.Lease)
	g := s.gateway()
	if g == nil || g.Enforced != at || g.Problem != "1 denied" || g.Cluster != "local" || g.Version != "test" || g.Forgotten {
		s.Fatalf("the store knows of %+v", g)
	}
	if g.Lease.Before(until.Add(-time.Second)) || time.Since(g.LastSeen) > patience {
		s.Errorf("recorded lease %v is before the granted end %v; last seen %v", g.Lease, until, g.LastSeen)
	}
}

func lostAnswer(s *suite) {
	s.start()
	at := s.put(s.key())
	first, again := s.pull(), s.pull()
	if first.To != at || again.To != at || again.From != first.From || len(again.Records) != len(first.Records) {
		s.Errorf("asked twice: %+v and %+v", first, again)
	}
}

func signed(s *suite) {
	s.poll.Nonce = 41
	out, err := s.Feed.Pull(s.Context(), s.poll)
	if err != nil {
		s.Fatal(err)
	}
	out.Payload[len(out.Payload)-1] ^= 1
	if _, err := feed.Open(out, s.Verify); gatehouse.CodeOf(err) != gatehouse.Unauthenticated {
		s.Errorf("a changed batch opens: %v", err)
	}
}

func otherCluster(s *suite) {
	s.start()
	here, there := s.upstream("here", "local", "other"), s.upstream("there", "other")
	s.update(func(tx store.Tx) error {
		return errors.Join(tx.PutUpstream(here, s.act(gatehouse.KindUpstream, "here")), tx.PutUpstream(there, s.act(gatehouse.KindUpstream, "there")))
	})
	whole := s.poll
	whole.Ready, whole.Enforced = false, gatehouse.Revision{}
	b := s.pull()
	s.poll = whole
	for _, b := range []*feed.Batch{b, s.pull()} {
		if r := find(b, here.ID.String()); r == nil || !s.credential(r, here) {
			s.Error("a gateway of the upstream's cluster has no credential")
		}
		if r := find(b, there.ID.String()); r == nil || len(r.Body) > 0 {
			s.Error("a gateway of another cluster holds the upstream")
		}
	}
}

// credential reports whether r carries u's, in the way that the feed does.
func (s *suite) credential(r *feed.Record, u *gatehouse.Upstream) bool {
	clear := strings.Contains(string(r.Body), u.Credential)
	if s.Open == nil {
		return clear
	}
	replica := feed.NewMemberReplica("local", s.Open)
	b := &feed.Batch{To: r.Revision, Snapshot: true, Records: []feed.Record{*r}}
	if err := replica.Apply(b, time.Now()); err != nil {
		s.Fatal(err)
	}
	held, ok := replica.Catalogue().Upstream(u.ID)
	return ok && held.Credential == u.Credential && !clear
}

func otherModel(s *suite) {
	s.start()
	s.update(func(tx store.Tx) error {
		return errors.Join(
			tx.PutModel(&gatehouse.Model{Name: "ours", Type: gatehouse.LanguageModel, Clusters: []string{"local"}}, s.act(gatehouse.KindModel, "ours")),
			tx.PutModel(&gatehouse.Model{Name: "theirs", Type: gatehouse.LanguageModel, Clusters: []string{"other"}}, s.act(gatehouse.KindModel, "theirs")),
		)
	})
	b := s.pull()
	if r := find(b, "ours"); r == nil || len(r.Body) == 0 {
		s.Error("a model of the cluster is missing")
	}
	if r := find(b, "theirs"); r == nil || len(r.Body) > 0 || r.Deleted {
		s.Errorf("a gateway holds a model of another cluster: %+v", r)
	}
}

func tellsMembers(s *suite) {
	s.start()
	b := s.drain()
	var ids []gatehouse.ID
	for _, m := range b.Members {
		ids = append(ids, m.ID)
	}
	if told := slices.Contains(ids, s.poll.Gateway); told != (s.Wire >= 2) {
		s.Errorf("layout %d tells of members %v", s.Wire, ids)
	}
}

func archives(s *suite) {
	s.start()
	at := s.drain().To
	s.put(s.key())
	polling := s.poll
	s.poll.Archive, s.poll.Ready, s.poll.Enforced = true, false, gatehouse.Revision{}
	b := s.pull()
	if !b.Snapshot || b.Lease != 0 {
		s.Errorf("the snapshot for the disk is %+v", b)
	}
	if g := s.gateway(); g.Enforced != at {
		s.Errorf("it acknowledged %s, and %s is enforced", g.Enforced, at)
	}
	s.poll = polling
	if b := s.pull(); b.Snapshot || len(b.Records) != 1 {
		s.Errorf("changes do not go on beside it: %+v", b)
	}
}

// fourSnapshots needs more gateways than one.
func fourSnapshots(s *suite) {
	if !s.Gateway.IsZero() {
		return // the feed is one gateway's
	}
	s.fill(5)
	var first feed.Poll
	for n := range 5 {
		s.poll.Gateway = gatehouse.NewID()
		b, err := s.try()
		switch {
		case n < 4 && err != nil:
			s.Fatal(err)
		case n == 0:
			s.took(b)
			first = s.poll
			s.poll = feed.Poll{Cluster: s.poll.Cluster, Wire: s.poll.Wire}
		case n == 4:
			var e *gatehouse.Error
			if !errors.As(err, &e) || e.Code != gatehouse.Unavailable || e.RetryAfter == 0 {
				s.Fatalf("a fifth snapshot: %v", err)
			}
		}
	}
	late := s.poll
	s.poll = first
	for b := s.pull(); ; b = s.pull() {
		s.took(b)
		if !b.More {
			break
		}
	}
	s.poll = late
	s.pull()
}

func leaseOnlyWhenCaughtUp(s *suite) {
	if b := s.start(); b.Lease != 0 {
		s.Error("a lease came with a snapshot, which is read before it is asked for")
	}
	var last gatehouse.Revision
	for range 3 {
		keys := make([]*gatehouse.Key, 600)
		for i := range keys {
			keys[i] = s.key()
		}
		last = s.put(keys...)
	}
	for n := 0; ; n++ {
		b := s.pull()
		s.took(b)
		if whole := b.To == last; (b.Lease > 0) != whole {
			s.Fatalf("at %s of %s the lease is %v", b.To, last, b.Lease)
		} else if whole {
			if n == 0 {
				s.Error("1,800 changes came in one batch")
			}
			return
		}
	}
}

// many fills the store beyond one part, and beyond two.
func (s *suite) many() map[string]bool { return s.fill(9) }

func (s *suite) fill(batches int) map[string]bool {
	ids := map[string]bool{}
	for range batches {
		keys := make([]*gatehouse.Key, 500)
		for i := range keys {
			keys[i] = s.key()
			ids[keys[i].ID.String()] = true
		}
		s.put(keys...)
	}
	return ids
}

func parts(s *suite) {
	ids := s.many()
	var to gatehouse.Revision
	for part := uint32(0); ; part++ {
		b := s.pull()
		if part == 0 {
			to = b.To
			s.put(s.key()) // a change in between belongs to what follows
		}
		if !b.Snapshot || b.Part != part || b.To != to || b.Lease != 0 {
			s.Fatalf("part %d is %d of snapshot %v to %s, want %s", part, b.Part, b.Snapshot, b.To, to)
		}
		for _, r := range b.Records {
			delete(ids, r.ID)
		}
		s.took(b)
		if !b.More {
			if part == 0 {
				s.Error("4,500 keys came in one part")
			}
			break
		}
	}
	if len(ids) > 0 {
		s.Errorf("%d keys are in no part", len(ids))
	}
	if b := s.pull(); b.Snapshot || len(b.Records) != 1 {
		s.Errorf("what changed in between did not follow: snapshot %v, %d records", b.Snapshot, len(b.Records))
	}
}

func lostPart(s *suite) {
	s.many()
	first := s.pull()
	s.took(first)
	second, again := s.pull(), s.pull()
	if second.Part != 1 || again.Part != 1 || again.Session != second.Session || len(again.Records) != len(second.Records) || again.Records[0].ID != second.Records[0].ID {
		s.Errorf("asked twice for part 1: part %d and part %d", second.Part, again.Part)
	}
	s.poll.Session++
	if b := s.pull(); b.Part != 0 || !b.Snapshot || b.Session == first.Session {
		s.Errorf("an unknown snapshot goes on with part %d", b.Part)
	}
}

func otherEpoch(s *suite) {
	b := s.start()
	s.poll.Enforced = gatehouse.Revision{Epoch: b.To.Epoch - 1, N: b.To.N + 1000}
	if b, err := s.try(); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		s.Errorf("a gateway of the epoch before, which did not say what was deleted there, got %+v, %v", b, err)
	}
	s.poll.Offer = &feed.Offer{Tombstones: []feed.Tombstone{{ID: gatehouse.NewID(), Revision: s.poll.Enforced}}}
	if b := s.pull(); !b.Snapshot {
		s.Errorf("a gateway of the epoch before got %+v", b)
	}
}

func tooFarBehind(s *suite) {
	s.start()
	s.put(s.key())
	s.put(s.key())
	if err := s.Store.Work(store.System(s.Context()), func(w store.Work) error { return w.Trim(time.Now().Add(time.Hour)) }); err != nil {
		s.Fatal(err)
	}
	if b := s.pull(); !b.Snapshot {
		s.Errorf("changes that were trimmed came as %+v", b)
	}
}

func wentBack(s *suite) {
	s.start()
	s.poll.Enforced.N += 5
	if b, err := s.try(); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		s.Errorf("a gateway ahead of the store got %+v, %v", b, err)
	}
}

func ends(s *suite) {
	s.start()
	s.drain()
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if _, err := s.Feed.Pull(ctx, s.poll); err == nil {
		s.Error("a poll outlived its context")
	}
}

func follows(s *suite) {
	r := feed.NewReplica("local")
	if s.Open != nil {
		r = feed.NewMemberReplica("local", s.Open)
	}
	f := feed.NewFollower(feed.FollowerConfig{
		Feed: s.Feed, Replica: r, Gateway: s.poll.Gateway, Cluster: "local", Version: "test",
		Verify: s.Verify, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	defer func() { cancel(); <-done }()
	k := s.key()
	at := s.put(k)
	until(s, "the key is served", func() bool { _, ok := r.Lookup(k.Secrets[0].Digest); return ok })
	until(s, "the key is acknowledged", func() bool { g := s.gateway(); return g != nil && !g.Enforced.Less(at) })
	until(s, "a lease is held", func() bool { return r.Leased(time.Now()) })
	f.Freeze()
	secret := k.Secrets[0].Digest
	k.DeleteTime, k.Secrets = time.Now(), nil
	gone := s.put(k)
	clusters := []*gatehouse.Cluster{{Name: "local"}}
	if g := s.gateway(); feed.Propagated([]*gatehouse.Gateway{g}, clusters, gone, true, time.Now())["local"] {
		s.Error("a frozen gateway counts as enforcing")
	}
	f.Thaw()
	until(s, "the key is refused", func() bool { _, ok := r.Lookup(secret); return !ok })
	until(s, "propagation is true", func() bool {
		return feed.Propagated([]*gatehouse.Gateway{s.gateway()}, clusters, gone, true, time.Now())["local"]
	})
}

// until waits for what another goroutine does against a real store.
func until(s *suite, what string, ok func() bool) {
	s.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			s.Fatalf("waited in vain: %s", what)
		}
		pause := time.NewTimer(2 * time.Millisecond)
		<-pause.C
	}
}
