package feed_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse"
	"gatehouse/internal/feed"
)

func TestAKeyArrivesWhole(t *testing.T) {
	k := testKey(5, func(k *gatehouse.Key) {
		k.OwnerID, k.ModifiedBy = testID(3), testID(4)
		k.ACL = gatehouse.ACL{"api-key:model:grok-4", "api-key:model:fast", "api-key:endpoint:chat", "api-key:endpoint:embed"}
		k.Limits = gatehouse.Limits{QPS: 1, QPM: 2, TPM: 3}
		k.Strict, k.ReserveTPM = true, true
		k.IPRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		k.Tags = map[string]string{"team": "search"}
		k.ExpireTime = start.Add(time.Hour)
		k.Secrets = append(k.Secrets, gatehouse.Secret{Digest: digest("old"), Last4: "wxyz", ExpireTime: start.Add(time.Minute)})
	})
	r := feed.NewReplica("local")
	apply(t, r, snapshot(9, put(t, k, 8),
		raw(gatehouse.KindTeam, testID(1).String(), fmt.Sprintf(`{"id":%q,"name":"a","blocked":true,"billing":"metering","createTime":"2026-01-01T00:00:00Z","revision":{"epoch":1,"n":1}}`, testID(1))),
		raw(gatehouse.KindAlias, "fast", `{"name":"fast","target":"grok-4-fast","revision":{"epoch":1,"n":1}}`)))
	v, ok := r.Lookup(digest("secret 5"))
	old, okOld := r.Lookup(digest("old"))
	if !ok || !okOld {
		t.Fatal("not found by both secrets")
	}
	got := fmt.Sprint(v.ID(), v.TeamID(), v.UserID(), v.OwnerID(), v.ModifiedBy(), v.Name(), v.Last4(), old.Last4(), v.Limits(),
		v.Strict(), v.ReserveTPM(), v.Disabled(), v.Blocked(), v.IPRanges(), v.Tags(), v.CreateTime().Equal(start),
		v.ExpireTime().Equal(k.ExpireTime), v.SecretExpireTime().IsZero(), old.SecretExpireTime().Equal(start.Add(time.Minute)), v.Revision(), v.ACL())
	want := fmt.Sprint(k.ID, k.TeamID, k.UserID, k.OwnerID, k.ModifiedBy, k.Name, "abcd", "wxyz", k.Limits,
		true, true, false, false, k.IPRanges, k.Tags, true, true, true, true, rev(8), k.ACL)
	if got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if team, ok := v.Team(); !ok || !team.Blocked {
		t.Fatalf("team %+v", team)
	}
	if !v.AllowedFrom(netip.MustParseAddr("10.1.2.3")) || v.AllowedFrom(netip.MustParseAddr("11.1.2.3")) {
		t.Fatal("IP ranges are not the key's")
	}
	for model, want := range map[string]bool{"grok-4": true, "grok-4-fast": true, "grok-3": false, "*": false, "": false} {
		if v.AllowsModel(model) != want {
			t.Errorf("AllowsModel(%q) = %v: an alias in an ACL grants its current target", model, !want)
		}
	}
	for _, e := range append([]string{"*", "", "nothing"}, gatehouse.Endpoints...) {
		if v.AllowsEndpoint(e) != k.ACL.AllowsEndpoint(e) {
			t.Errorf("AllowsEndpoint(%q) = %v", e, v.AllowsEndpoint(e))
		}
	}
}

func TestAKeysStateIsTold(t *testing.T) {
	r := feed.NewReplica("local")
	apply(t, r, snapshot(1,
		put(t, testKey(1), 1),
		put(t, testKey(2, func(k *gatehouse.Key) { k.Disabled = true }), 1),
		put(t, testKey(3, func(k *gatehouse.Key) { k.Blocked, k.Disabled = true, true }), 1),
		put(t, testKey(4, func(k *gatehouse.Key) { k.ExpireTime = start }), 1),
		put(t, testKey(5, func(k *gatehouse.Key) { k.Secrets[0].ExpireTime = start.Add(1) }), 1),
		put(t, testKey(6, func(k *gatehouse.Key) { k.ExpireTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }), 1),
	))
	want := []feed.KeyState{feed.Active, feed.Disabled, feed.Blocked, feed.Expired, feed.Active, feed.Active}
	for i, w := range want {
		v, ok := r.Lookup(digest(fmt.Sprint("secret ", i+1)))
		if !ok || v.State(start) != w {
			t.Errorf("key %d: found %v, state %v, want %v", i+1, ok, v.State(start), w)
		}
	}
	v, _ := r.Lookup(digest("secret 5"))
	if v.State(start.Add(1)) != feed.Expired {
		t.Error("a rotated secret outlives its own time")
	}
}

// The replica against a map, through every kind of step. Views taken before
// keep meaning what they meant.
func TestTheReplicaIsWhatWasSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := feed.NewReplica("local")
		model, dead := map[int]*gatehouse.Key{}, map[int]bool{}
		type memory struct {
			view feed.KeyView
			qps  int32
		}
		var memories []memory
		at := int64(1)
		for i := range rapid.IntRange(1, 30).Draw(t, "batches") {
			to := at + rapid.Int64Range(1, 3).Draw(t, "step")
			whole := i == 0 || rapid.IntRange(0, 6).Draw(t, "whole") == 0
			var records []feed.Record
			touched := map[int]bool{}
			for range rapid.IntRange(0, 12).Draw(t, "records") {
				n := rapid.IntRange(1, 40).Draw(t, "key")
				if touched[n] {
					continue
				}
				touched[n] = true
				switch rapid.IntRange(0, 5).Draw(t, "do") {
				case 0:
					records = append(records, tomb(n, to))
					delete(model, n)
					dead[n] = true
				case 1:
					records = append(records, feed.Record{Kind: gatehouse.KindKey, ID: testID(n).String(), Revision: rev(to)})
					delete(model, n)
				default:
					k := testKey(n, func(k *gatehouse.Key) {
						k.Limits.QPS = rapid.Int32Range(1, 1000).Draw(t, "qps")
						k.Secrets[0].Digest = digest(fmt.Sprint("secret ", n, rapid.IntRange(0, 2).Draw(t, "generation")))
						if rapid.Bool().Draw(t, "second") {
							k.Secrets = append(k.Secrets, gatehouse.Secret{Digest: digest(fmt.Sprint("second ", n)), Last4: "1234"})
						}
					})
					rec, _ := feed.KeyRecord(k)
					rec.Revision = rev(to)
					records = append(records, rec)
					if !dead[n] {
						model[n] = k
					}
				}
			}
			b := &feed.Batch{From: rev(at), To: rev(to), Time: start, Records: records}
			if whole {
				for n, k := range model {
					if !touched[n] {
						rec, _ := feed.KeyRecord(k)
						b.Records = append(b.Records, rec)
					}
				}
				b.From, b.Snapshot, b.Session = gatehouse.Revision{}, true, uint64(i+1)
			}
			if err := r.Apply(b, start); err != nil {
				t.Fatal(err)
			}
			at = to
			secrets := 0
			for n := 1; n <= 40; n++ {
				names := []string{fmt.Sprint("secret ", n, 0), fmt.Sprint("secret ", n, 1), fmt.Sprint("secret ", n, 2), fmt.Sprint("second ", n)}
				held := map[gatehouse.Digest]bool{}
				if k := model[n]; k != nil {
					for _, s := range k.Secrets {
						held[s.Digest] = true
						secrets++
					}
				}
				for _, name := range names {
					v, ok := r.Lookup(digest(name))
					if ok != held[digest(name)] || ok && (v.ID() != testID(n) || v.Limits() != model[n].Limits) {
						t.Fatalf("%s: found %v, want %v", name, ok, held[digest(name)])
					}
					if ok {
						memories = append(memories, memory{v, v.Limits().QPS})
					}
				}
			}
			if r.Keys() != secrets || r.Applied() != rev(at) {
				t.Fatalf("%d secrets at %s, want %d at %s", r.Keys(), r.Applied(), secrets, rev(at))
			}
		}
		for _, m := range memories {
			if m.view.Limits().QPS != m.qps {
				t.Fatal("a view changed after it was taken")
			}
		}
	})
}

func TestOnlyTheNextBatchIsTaken(t *testing.T) {
	r := feed.NewReplica("local")
	refused := func(why string, b *feed.Batch) {
		t.Helper()
		before := r.Applied()
		if err := r.Apply(b, start); gatehouse.CodeOf(err) != gatehouse.Conflict {
			t.Errorf("%s: %v", why, err)
		}
		if r.Applied() != before || found(r, "secret 9") {
			t.Errorf("%s: it had an effect", why)
		}
	}
	key := put(t, testKey(9), 9)
	refused("a step without a snapshot", step(1, 2, key))
	apply(t, r, snapshot(5), step(5, 6), step(6, 6))
	refused("a repeated batch", step(5, 6, key))
	refused("a gap", step(7, 8, key))
	refused("a step back", step(6, 5, key))
	refused("an older snapshot", snapshot(5, key))
	refused("a step into another epoch", &feed.Batch{From: rev(6), To: gatehouse.Revision{Epoch: 2, N: 1}, Records: []feed.Record{key}})
	refused("a snapshot of an older epoch", &feed.Batch{To: gatehouse.Revision{Epoch: 0, N: 99}, Snapshot: true, Records: []feed.Record{key}})
	refused("a lease that nobody may grant", &feed.Batch{From: rev(6), To: rev(7), Lease: feed.LeaseLength + 1, Records: []feed.Record{key}})
	part := snapshot(8, key)
	part.Part = 1
	refused("a part without the first", part)
}

func TestASnapshotInPartsIsServedWhenItIsWhole(t *testing.T) {
	r := feed.NewReplica("local")
	apply(t, r, snapshot(1, put(t, testKey(1), 1)))
	first, second := snapshot(5, put(t, testKey(2), 5)), snapshot(5, put(t, testKey(3), 5))
	first.More, second.Part = true, 1
	apply(t, r, first)
	if !found(r, "secret 1") || found(r, "secret 2") || r.Applied() != rev(1) {
		t.Fatal("half a snapshot is served")
	}
	other := *second
	other.Session = 8
	if err := r.Apply(&other, start); gatehouse.CodeOf(err) != gatehouse.Conflict {
		t.Fatalf("a part of another snapshot: %v", err)
	}
	apply(t, r, second)
	if found(r, "secret 1") || !found(r, "secret 2") || !found(r, "secret 3") || r.Applied() != rev(5) {
		t.Fatal("the snapshot is not what is served")
	}
}

// I5: a backup from before the deletion is restored under a new epoch.
func TestADeletedKeyStaysDeadThroughANewEpoch(t *testing.T) {
	r := feed.NewReplica("local")
	apply(t, r, snapshot(5, put(t, testKey(1), 5)), step(5, 6, tomb(1, 6)))
	restored := &feed.Batch{To: gatehouse.Revision{Epoch: 2, N: 3}, Snapshot: true, Records: []feed.Record{put(t, testKey(1), 2), put(t, testKey(2), 2)}}
	apply(t, r, restored)
	if found(r, "secret 1") || !found(r, "secret 2") {
		t.Fatal("a deleted key came back with a restored backup")
	}
	if p := r.Problem(); !strings.Contains(p, "was deleted at 1.6") {
		t.Fatalf("the reason is not reported: %q", p)
	}
}

// I11: what cannot be understood is denied, alone, and control is told.
func TestABadRecordIsDeniedAloneAndReported(t *testing.T) {
	good := string(put(t, testKey(1), 5).Body)
	for name, bad := range map[string]feed.Record{
		"unknown member":        raw(gatehouse.KindKey, testID(1).String(), strings.Replace(good, `{`, `{"onlyOnSundays":true,`, 1)),
		"not JSON":              raw(gatehouse.KindKey, testID(1).String(), "{"),
		"bytes after":           raw(gatehouse.KindKey, testID(1).String(), good+"{}"),
		"another key's body":    put(t, testKey(3, func(k *gatehouse.Key) { k.ID = testID(1) }), 6),
		"no secret":             put(t, testKey(1, func(k *gatehouse.Key) { k.Secrets = nil }), 6),
		"unknown ACL kind":      put(t, testKey(1, func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{"api-key:planet:mars"} }), 6),
		"negative limit":        put(t, testKey(1, func(k *gatehouse.Key) { k.Limits.QPS = -1 }), 6),
		"another key's secret":  put(t, testKey(1, func(k *gatehouse.Key) { k.Secrets[0].Digest = digest("secret 2") }), 6),
		"the same secret twice": put(t, testKey(1, func(k *gatehouse.Key) { k.Secrets = append(k.Secrets, k.Secrets[0]) }), 6),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "another key's body" {
				bad.ID = testID(1).String()
				bad.Body = put(t, testKey(3), 6).Body
			}
			r := feed.NewReplica("local")
			apply(t, r, snapshot(5, put(t, testKey(1), 5), put(t, testKey(2), 5)), step(5, 6, bad, put(t, testKey(4), 6)))
			if found(r, "secret 1") {
				t.Error("the key is served as it was before a change that nobody understood")
			}
			if v, ok := r.Lookup(digest("secret 2")); !ok || v.ID() != testID(2) || !found(r, "secret 4") || r.Applied() != rev(6) {
				t.Error("it took others with it")
			}
			if p := r.Problem(); !strings.HasPrefix(p, "1 denied; api_key "+testID(1).String()) {
				t.Errorf("reported as %q", p)
			}
			apply(t, r, step(6, 7, put(t, testKey(1), 7)))
			if !found(r, "secret 1") || r.Problem() != "" {
				t.Error("a good record does not mend it")
			}
		})
	}
	t.Run("unknown kind", func(t *testing.T) {
		r := feed.NewReplica("local")
		apply(t, r, snapshot(5, raw("curfew", "x", "{}"), put(t, testKey(1), 5)))
		if p := r.Problem(); p != "1 denied; curfew x: unknown kind" || !found(r, "secret 1") {
			t.Fatalf("reported as %q", p)
		}
	})
}

func TestLeasesLiveFromThePollAndNotLonger(t *testing.T) {
	r := feed.NewReplica("local")
	leased := func(b *feed.Batch) *feed.Batch { b.Lease = feed.LeaseLength; return b }
	if r.Leased(start) || r.Fresh(start) {
		t.Fatal("a replica that heard nothing holds a lease")
	}
	apply(t, r, snapshot(1), leased(step(1, 1)))
	if end := start.Add(feed.LeaseLength); !r.Leased(end.Add(-1)) || r.Leased(end) {
		t.Fatal("the lease does not end ten seconds after the poll")
	}
	if err := r.Apply(step(1, 2), start.Add(5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if r.Leased(start.Add(feed.LeaseLength)) {
		t.Fatal("a batch without a lease renewed it")
	}
	last := start.Add(5 * time.Second)
	if !r.Fresh(last.Add(feed.MaxStale)) || r.Fresh(last.Add(feed.MaxStale+1)) {
		t.Fatal("the replica is fresh for other than a day after the last answer")
	}
}

// X-style clock faults: expiry uses the later of the two clocks.
func TestAClockThatIsSetBackRevivesNoKey(t *testing.T) {
	r := feed.NewReplica("local")
	apply(t, r, snapshot(1, put(t, testKey(1, func(k *gatehouse.Key) { k.ExpireTime = start.Add(-time.Minute) }), 1)))
	v, _ := r.Lookup(digest("secret 1"))
	if v.State(r.Now(start.Add(-30*24*time.Hour))) != feed.Expired {
		t.Fatal("an expired key lives again")
	}
	if later := start.Add(time.Hour); !r.Now(later).Equal(later) {
		t.Fatal("the gateway's own later clock is not used")
	}
}

func TestRoutesPricesAndAliases(t *testing.T) {
	const when = `"revision":{"epoch":1,"n":1}`
	up := func(n int, rest string) feed.Record {
		return raw(gatehouse.KindUpstream, testID(n).String(), fmt.Sprintf(
			`{"id":%q,"name":"u%d","kind":"openai","baseUrl":"http://x/v1","askUsage":true,"headerTimeout":1,"idleTimeout":1,"credential":"sk-%d",%s,%s}`, testID(n), n, n, rest, when))
	}
	price := func(n int, day string) feed.Record {
		return raw(gatehouse.KindPrice, testID(n).String(), fmt.Sprintf(
			`{"id":%q,"model":"grok-4","effective":"2026-05-%sT00:00:00Z","units":{},"source":"operator",%s}`, testID(n), day, when))
	}
	r := feed.NewReplica("local")
	apply(t, r, snapshot(1,
		raw(gatehouse.KindModel, "grok-4", `{"name":"grok-4","type":"language","owner":"xai",`+when+`}`),
		raw(gatehouse.KindModel, "gpt-5", `{"name":"gpt-5","type":"language","owner":"openai",`+when+`}`),
		raw(gatehouse.KindAlias, "latest", `{"name":"latest","target":"grok-4",`+when+`}`),
		up(1, `"families":["chat"],"serves":[{"model":"*"},{"model":"grok-4","as":"grok","weight":3}]`),
		up(2, `"families":["chat","messages"],"serves":[{"model":"*","owner":"xai"}]`),
		up(3, `"families":["chat"],"serves":[{"model":"*"}],"disabled":true`),
		up(4, `"families":["chat"],"serves":[{"model":"*"}],"clusters":["elsewhere"]`),
		price(11, "01"), price(12, "03"),
	))
	c := r.Catalogue()
	show := func(model string, f gatehouse.Family) (s string) {
		for _, x := range c.Routes(model, f) {
			s += fmt.Sprintf("%s=%s*%d(%s) ", x.Upstream.Name, x.As, x.Weight, x.Upstream.Credential)
		}
		return s
	}
	for _, w := range []struct {
		model  string
		family gatehouse.Family
		want   string
	}{
		{"grok-4", gatehouse.FamilyChat, "u1=grok*3(sk-1) u2=grok-4*1(sk-2) "},
		{"grok-4", gatehouse.FamilyMessages, "u2=grok-4*1(sk-2) "},
		{"gpt-5", gatehouse.FamilyChat, "u1=gpt-5*1(sk-1) "},
		{"gpt-5", gatehouse.FamilyMessages, ""},
		{"unknown", gatehouse.FamilyChat, ""},
	} {
		if got := show(w.model, w.family); got != w.want {
			t.Errorf("%s on %s goes to %q, want %q", w.model, w.family, got, w.want)
		}
	}
	if m, a, ok := c.Resolve("latest"); !ok || m.Name != "grok-4" || a.Name != "latest" {
		t.Error("the alias does not resolve")
	}
	for at, want := range map[time.Time]gatehouse.ID{start: testID(11), start.AddDate(0, 0, 5): testID(12)} {
		if p, ok := c.Price("grok-4", at); !ok || p.ID != want {
			t.Errorf("at %s another price rules: %+v", at, p)
		}
	}
	if _, ok := c.Price("grok-4", start.AddDate(0, 0, -5)); ok {
		t.Error("a price rules before it is effective")
	}
	if _, ok := c.Price("gpt-5", start); ok {
		t.Error("a price was made up")
	}
	apply(t, r, step(1, 2, feed.Record{Kind: gatehouse.KindUpstream, ID: testID(1).String(), Revision: rev(2)}))
	if c = r.Catalogue(); show("gpt-5", gatehouse.FamilyChat) != "" {
		t.Error("a withheld upstream is still used")
	}
}

// Values that no key has any more must not pile up, and compaction must not
// change what is served.
func TestChurnDoesNotGrowForever(t *testing.T) {
	r := feed.NewReplica("local")
	apply(t, r, snapshot(1, put(t, testKey(1), 1), put(t, testKey(2), 1)))
	for i := range int64(40) {
		var records []feed.Record
		for n := 1; n <= 2; n++ {
			for j := range 500 {
				records = append(records, put(t, testKey(n, func(k *gatehouse.Key) {
					k.Name = fmt.Sprint("name ", i, j)
					k.Secrets = append(k.Secrets, gatehouse.Secret{Digest: digest(fmt.Sprint("old ", n)), Last4: "old4"})
				}), i+2))
			}
		}
		apply(t, r, step(i+1, i+2, records...))
	}
	for n := 1; n <= 2; n++ {
		v, ok := r.Lookup(digest(fmt.Sprint("secret ", n)))
		old, okOld := r.Lookup(digest(fmt.Sprint("old ", n)))
		if !ok || !okOld || v.Name() != "name 39 499" || old.ID() != testID(n) || old.Last4() != "old4" || v.UserID() != testID(2) {
			t.Fatalf("key %d is not served as last said: %v %v", n, ok, okOld)
		}
	}
	if names := feed.NameBytes(r); names > 1<<20 {
		t.Fatalf("%d bytes of names held for two keys", names)
	}
}

func TestReadersNeverWait(t *testing.T) {
	r := feed.NewReplica("local")
	var records []feed.Record
	for n := range 2000 {
		records = append(records, put(t, testKey(n+1, func(k *gatehouse.Key) { k.Limits.QPS = 1 }), 1))
	}
	apply(t, r, snapshot(1, records...))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := g; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				// Key 1 is written all the time and present in every state.
				v, ok := r.Lookup(digest("secret 1"))
				if !ok || v.ID() != testID(1) || int64(v.Limits().QPS) != v.Revision().N || !v.AllowsModel("grok-4") {
					t.Error("a reader saw half a change")
					return
				}
			}
		})
	}
	for i := range int64(300) {
		apply(t, r, step(i+1, i+2,
			put(t, testKey(1, func(k *gatehouse.Key) { k.Limits.QPS = int32(i + 2) }), i+2),
			tomb(int(i)+2, i+2), put(t, testKey(int(i)+5000), i+2)))
	}
	close(stop)
	wg.Wait()
}
