package feed_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
)

// scripted is a control node that answers polls with given batches, and then
// with renewals. It renews a lease with every one.
type scripted struct {
	mu      sync.Mutex // a snapshot for the disk is asked for beside the changes
	batches []*feed.Batch
	at      gatehouse.Revision
	polls   []feed.Poll
	whole   func() []*feed.Batch // the parts of a snapshot for the disk
	parts   []*feed.Batch
}

func (s *scripted) Pull(ctx context.Context, p feed.Poll) (feed.Signed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &feed.Batch{From: s.at, To: s.at, Lease: feed.LeaseLength}
	switch {
	case p.Archive:
		if p.Part == 0 {
			s.parts = s.whole()
		}
		b = s.parts[p.Part]
		b.Session = 99
	case len(s.batches) > 0:
		b, s.batches = s.batches[0], s.batches[1:]
		s.at = b.To
	default:
		s.mu.Unlock()
		pass(ctx, 2*time.Second)
		s.mu.Lock()
	}
	if ctx.Err() != nil {
		return feed.Signed{}, ctx.Err()
	}
	s.polls = append(s.polls, p)
	copied := *b
	copied.Nonce, copied.Time = p.Nonce, time.Now()
	return feed.Sign(&copied, sign), nil
}

func pass(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func newArchive(dir string) *feed.Archive {
	return feed.NewArchive(feed.ArchiveConfig{Dir: dir, Verify: verify, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
}

// run follows s for d on the bubble's clock, and keeps what it serves in dir.
func run(t *testing.T, s *scripted, dir string, d time.Duration) *feed.Replica {
	t.Helper()
	r, a := feed.NewReplica("local"), newArchive(dir)
	defer a.Close()
	if err := a.Restore(r); err != nil && gatehouse.CodeOf(err) != gatehouse.NotFound {
		t.Logf("restore: %v", err)
	}
	f := feed.NewFollower(feed.FollowerConfig{
		Feed: s, Replica: r, Gateway: testID(1), Cluster: "local", Version: "test", Verify: verify, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Archive: a,
	})
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	f.Run(ctx)
	return r
}

// strict makes a key strict.
func strict(k *gatehouse.Key) { k.Strict = true }

// A gateway that starts while control is away serves what it served, and holds
// no lease.
func TestAStartWithoutControlServesWhatWasKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := &scripted{batches: []*feed.Batch{
			snapshot(1, put(t, testKey(3), 1), put(t, testKey(4, strict), 1), put(t, testKey(5), 1)),
			step(1, 2, tomb(5, 2)),
			step(2, 3, put(t, testKey(6), 3)),
		}}
		served := run(t, s, dir, time.Minute)
		stopped := time.Now()
		time.Sleep(time.Hour)
		r := feed.NewReplica("local")
		if err := newArchive(dir).Restore(r); err != nil {
			t.Fatal(err)
		}
		if r.Applied() != rev(3) || r.Applied() != served.Applied() || !found(r, "secret 3") || !found(r, "secret 4") || !found(r, "secret 6") {
			t.Errorf("restored at %s", r.Applied())
		}
		if found(r, "secret 5") {
			t.Error("a deleted key came back with the disk")
		}
		now := time.Now()
		if !r.Fresh(now) || r.Leased(now) {
			t.Errorf("fresh %v, leased %v", r.Fresh(now), r.Leased(now))
		}
		// The age counts from when control was heard, not from the start.
		if age := r.Stale(now); age < now.Sub(stopped) || age > now.Sub(stopped)+time.Minute {
			t.Errorf("stale for %v, control was left %v ago", age, now.Sub(stopped))
		}
		if time.Sleep(feed.MaxStale - time.Hour + time.Minute); r.Fresh(time.Now()) {
			t.Error("it serves for longer than MaxStale")
		}
	})
}

// It follows on from where it stood: no snapshot is taken, and what was deleted
// in the meantime goes.
func TestARestartGoesOnFromTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		run(t, &scripted{batches: []*feed.Batch{snapshot(1, put(t, testKey(3), 1), put(t, testKey(4), 1))}}, dir, time.Minute)
		s := &scripted{batches: []*feed.Batch{step(1, 2, tomb(3, 2))}, at: rev(1)}
		r := run(t, s, dir, time.Minute)
		if p := s.polls[0]; !p.Ready || p.Enforced != rev(1) {
			t.Errorf("its first poll is %+v", p)
		}
		if found(r, "secret 3") || !found(r, "secret 4") || !r.Leased(time.Now()) {
			t.Error("it did not follow on")
		}
		again := feed.NewReplica("local")
		if err := newArchive(dir).Restore(again); err != nil || again.Applied() != rev(2) || found(again, "secret 3") {
			t.Errorf("the second restart: %v at %s", err, again.Applied())
		}
	})
}

// I5, T19, F13: whatever is done to the files, no state is served that control
// did not sign, and none that is older than what was heard.
func TestADiskThatWasTouchedIsNotTrusted(t *testing.T) {
	file := func(dir, name string) string { return filepath.Join(dir, name) }
	for name, touch := range map[string]func(t *testing.T, dir, old string){
		"a replica of yesterday": func(t *testing.T, dir, old string) { copyFile(t, file(old, "replica"), file(dir, "replica")) },
		"a byte of the snapshot": func(t *testing.T, dir, _ string) { flip(t, file(dir, "replica"), 40) },
		"the end is cut off":     func(t *testing.T, dir, _ string) { cut(t, file(dir, "replica"), 10) },
		"no proof":               func(t *testing.T, dir, _ string) { os.Remove(file(dir, "fresh")) },
		"a forged proof":         func(t *testing.T, dir, _ string) { flip(t, file(dir, "fresh"), 30) },
		"nothing left":           func(t *testing.T, dir, _ string) { os.Remove(file(dir, "replica")) },
		"an empty file":          func(t *testing.T, dir, _ string) { os.Truncate(file(dir, "replica"), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, old := t.TempDir(), t.TempDir()
				run(t, &scripted{batches: []*feed.Batch{snapshot(1, put(t, testKey(3), 1), put(t, testKey(4), 1))}}, dir, time.Minute)
				copyFile(t, file(dir, "replica"), file(old, "replica"))
				run(t, &scripted{batches: []*feed.Batch{step(1, 2, tomb(3, 2))}, at: rev(1)}, dir, time.Minute)
				touch(t, dir, old)
				r := feed.NewReplica("local")
				a := newArchive(dir)
				if err := a.Restore(r); err == nil || r.Ready() {
					t.Fatalf("restored at %s: %v", r.Applied(), err)
				}
				a.Close()
				// Control mends it.
				s := &scripted{batches: []*feed.Batch{snapshot(2, put(t, testKey(4), 1), tomb(3, 2))}}
				run(t, s, dir, time.Minute)
				if s.polls[0].Ready {
					t.Error("it asked for less than a snapshot")
				}
				if err := newArchive(dir).Restore(r); err != nil || r.Applied() != rev(2) || found(r, "secret 3") {
					t.Errorf("after control was heard: %v at %s", err, r.Applied())
				}
			})
		})
	}
}

// What was written and not synced may be missing after a crash of the machine;
// it was not acknowledged, so nothing is lost.
func TestATornEndIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		run(t, &scripted{batches: []*feed.Batch{snapshot(1, put(t, testKey(3), 1)), step(1, 2, put(t, testKey(4), 2))}}, dir, time.Minute)
		f, err := os.OpenFile(filepath.Join(dir, "replica"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte{0, 0, 1, 0, 0, 0, 0, 32, 1, 2, 3})
		f.Close()
		r := run(t, &scripted{batches: []*feed.Batch{step(2, 3, put(t, testKey(5), 3))}, at: rev(2)}, dir, time.Minute)
		again := feed.NewReplica("local")
		if err := newArchive(dir).Restore(again); err != nil || again.Applied() != rev(3) || r.Applied() != rev(3) || !found(again, "secret 5") {
			t.Errorf("restored at %s after %s: %v", again.Applied(), r.Applied(), err)
		}
	})
}

// I16: a restored backup brings a new epoch and, with it, keys that were
// deleted since. The gateway's disk remembers better.
func TestGravesOutliveTheSnapshotOfAnotherEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		run(t, &scripted{batches: []*feed.Batch{snapshot(5, put(t, testKey(3), 1), put(t, testKey(4), 1)), step(5, 6, tomb(3, 6))}}, dir, time.Minute)
		revived := &feed.Batch{To: gatehouse.Revision{Epoch: 2, N: 1}, Snapshot: true, Session: 8, Records: []feed.Record{put(t, testKey(3), 1), put(t, testKey(4), 1)}}
		run(t, &scripted{batches: []*feed.Batch{revived}}, dir, time.Minute)
		r := feed.NewReplica("local")
		if err := newArchive(dir).Restore(r); err != nil || r.Applied().Epoch != 2 || found(r, "secret 3") || !found(r, "secret 4") {
			t.Errorf("at %s, found the deleted key: %v; %v", r.Applied(), found(r, "secret 3"), err)
		}
	})
}

// Batches pile up behind the snapshot until a newer one takes their place,
// without a gap and without the gateway noticing.
func TestAFileThatGrewIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := &scripted{batches: []*feed.Batch{snapshot(1, put(t, testKey(3), 1))}}
		var all []feed.Record
		for n := int64(2); n < 120; n++ {
			k := put(t, bulky(int(n)), n)
			all = append(all, k)
			s.batches = append(s.batches, step(n-1, n, k))
		}
		s.whole = func() []*feed.Batch {
			at := s.at.N
			half := len(all[:at-1]) / 2
			return []*feed.Batch{
				{To: rev(at), Snapshot: true, More: true, Records: all[:half]},
				{To: rev(at), Snapshot: true, Part: 1, Records: append([]feed.Record{put(t, testKey(3), 1)}, all[half:at-1]...)},
			}
		}
		before := run(t, s, dir, 10*time.Minute)
		info, err := os.Stat(filepath.Join(dir, "replica"))
		if err != nil {
			t.Fatal(err)
		}
		r := feed.NewReplica("local")
		if err := newArchive(dir).Restore(r); err != nil || r.Applied() != before.Applied() || r.Keys() != before.Keys() {
			t.Errorf("at %s with %d keys, served were %s with %d: %v", r.Applied(), r.Keys(), before.Applied(), before.Keys(), err)
		}
		archived := 0
		for _, p := range s.polls {
			if p.Archive {
				archived++
			}
		}
		if archived == 0 || archived > 6 {
			t.Errorf("%d parts of snapshots were taken for a file of %d bytes", archived, info.Size())
		}
	})
}

// bulky is a key with a large record.
func bulky(n int) *gatehouse.Key {
	return testKey(n, func(k *gatehouse.Key) {
		for i := range 900 {
			k.ACL = append(k.ACL, "api-key:model:"+string(make64(i)))
		}
	})
}

func make64(i int) []byte {
	out := make([]byte, 240)
	for j := range out {
		out[j] = 'a' + byte((i+j)%26)
	}
	return append(out, byte('a'+i%26), byte('a'+i/26%26))
}

// F11: a disk that fails costs the start without control, and nothing else; and
// what is left there never brings back what was taken away.
func TestADiskThatFailsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(dir, []byte("no directory"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &scripted{batches: []*feed.Batch{snapshot(1, put(t, testKey(3), 1)), step(1, 2, tomb(3, 2))}}
		s.whole = func() []*feed.Batch { return []*feed.Batch{{To: rev(2), Snapshot: true}} }
		r := run(t, s, dir, time.Minute)
		if r.Applied() != rev(2) || !r.Leased(time.Now().Add(-time.Second)) {
			t.Errorf("the gateway stopped following at %s", r.Applied())
		}
		if last := s.polls[len(s.polls)-1]; last.Problem == "" && !last.Archive {
			t.Error("control was not told")
		}
	})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, path string, n int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, info.Size()-n)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A signing key that control gave up is not accepted at the next start either,
// so what is kept must be under a newer one by then.
func TestAnArchiveUnderAKeyThatEndedIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var accepted, signer atomic.Uint32
		under := func(msg, sig []byte) bool {
			return len(sig) > 0 && uint32(sig[0]) >= accepted.Load() && verify(msg, sig[1:])
		}
		s := &scripted{batches: []*feed.Batch{snapshot(1, put(t, testKey(3), 1))}}
		s.whole = func() []*feed.Batch {
			return []*feed.Batch{{To: s.at, Snapshot: true, Records: []feed.Record{put(t, testKey(3), 1)}}}
		}
		a := feed.NewArchive(feed.ArchiveConfig{Dir: dir, Verify: under, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		r := feed.NewReplica("local")
		f := feed.NewFollower(feed.FollowerConfig{
			Feed: resigned{s, &signer}, Replica: r, Gateway: testID(1), Cluster: "local", Version: "test", Verify: under, Now: time.Now,
			Log: slog.New(slog.DiscardHandler), Archive: a, OnVerifiers: func([][]byte) error { accepted.Store(1); return nil },
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.AfterFunc(10*time.Second, func() { signer.Store(1) })
		f.Run(ctx)
		a.Close()
		again := feed.NewReplica("local")
		fresh := feed.NewArchive(feed.ArchiveConfig{Dir: dir, Verify: under, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		if err := fresh.Restore(again); err != nil || !found(again, "secret 3") {
			t.Errorf("the start after the rotation: %v", err)
		}
	})
}

// resigned signs by a generation, and from the second on says which are accepted.
type resigned struct {
	*scripted
	generation *atomic.Uint32
}

func (s resigned) Pull(ctx context.Context, p feed.Poll) (feed.Signed, error) {
	out, err := s.scripted.Pull(ctx, p)
	if err != nil {
		return out, err
	}
	g := byte(s.generation.Load())
	if g > 0 {
		b, err := feed.Decode(out.Payload)
		if err != nil {
			return out, err
		}
		b.Verifiers = [][]byte{make([]byte, 32)}
		out = feed.Sign(&b, sign)
	}
	out.Signature = append([]byte{g}, out.Signature...)
	return out, nil
}

// Whatever stands behind the last good frame must go: new frames behind it
// would be kept, acknowledged, and never found again.
func TestAnArchiveThatCannotBeCutIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "frames")
	if err := os.WriteFile(path, []byte("good, torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path) // for reading alone
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if feed.Cut(f, 4) == nil {
		t.Error("a torn end that stayed is no error")
	}
}
