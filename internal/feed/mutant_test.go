package feed_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
)

// mutants is how many are tried: GATEHOUSE_MUTANTS, or a fiftieth of the
// 100,000 of the acceptance.
func mutants(t *testing.T) int {
	text := os.Getenv("GATEHOUSE_MUTANTS")
	if text == "" {
		return 2000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("GATEHOUSE_MUTANTS is %q", text)
	}
	return n
}

// The models and clients that access is measured with.
var (
	probedModels = []string{"m1", "m2", "m3", "elsewhere"}
	probedFrom   = []netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("203.0.113.9")}
	probedTimes  = []time.Time{start, start.Add(time.Hour), start.AddDate(30, 0, 0)}
)

// access is everything that a secret may do.
type access struct {
	found     bool
	active    [3]bool // at probedTimes
	models    [4]bool
	endpoints string
	from      [2]bool
	limits    gatehouse.Limits
	strict    bool
	reserve   bool
	team      bool
}

func accessOf(r *feed.Replica, secret string) (a access) {
	k, ok := r.Lookup(digest(secret))
	if !ok {
		return a
	}
	a.found, a.limits, a.strict, a.reserve = true, k.Limits(), k.Strict(), k.ReserveTPM()
	_, a.team = k.Team()
	for i, at := range probedTimes {
		a.active[i] = k.State(at) == feed.Active
	}
	for i, m := range probedModels {
		a.models[i] = k.AllowsModel(m)
	}
	for _, e := range gatehouse.Endpoints {
		a.endpoints += fmt.Sprint(k.AllowsEndpoint(e), " ")
	}
	for i, from := range probedFrom {
		a.from[i] = k.AllowedFrom(from)
	}
	return a
}

// wider says in what a may more than b; empty when in nothing.
func (a access) wider(b access) string {
	looser := func(x, y int64) bool { return y != 0 && (x == 0 || x > y) }
	anyOf := func(x, y []bool) bool {
		for i := range x {
			if x[i] && !y[i] {
				return true
			}
		}
		return false
	}
	switch {
	case !a.found || !a.team:
		return "" // nothing is admitted
	case !b.found || !b.team:
		return "existence"
	case anyOf(a.active[:], b.active[:]):
		return "time"
	case anyOf(a.models[:], b.models[:]):
		return "models"
	case a.endpoints != b.endpoints && len(a.endpoints) <= len(b.endpoints):
		return "endpoints"
	case anyOf(a.from[:], b.from[:]):
		return "addresses"
	case looser(int64(a.limits.QPS), int64(b.limits.QPS)), looser(int64(a.limits.QPM), int64(b.limits.QPM)), looser(a.limits.TPM, b.limits.TPM):
		return "limits"
	case b.strict && !a.strict:
		return "strictness"
	case b.reserve && !a.reserve:
		return "reserve"
	}
	return ""
}

// world is a replica's records: keys of both layouts and a catalogue.
func world(t *testing.T) []feed.Record {
	out := []feed.Record{
		raw(gatehouse.KindTeam, testID(1).String(), mustJSON(&gatehouse.Team{ID: testID(1), Name: "team", Billing: gatehouse.BillingMetering, CreateTime: start})),
		raw(gatehouse.KindCluster, "local", mustJSON(&gatehouse.Cluster{Name: "local", Address: "local.example"})),
		raw(gatehouse.KindAlias, "m", mustJSON(&gatehouse.Alias{Name: "m", Target: "m1"})),
	}
	for _, m := range probedModels[:3] {
		out = append(out, raw(gatehouse.KindModel, m, mustJSON(&gatehouse.Model{Name: m, Type: gatehouse.LanguageModel, Owner: "xai"})))
	}
	up, err := feed.UpstreamRecord(&gatehouse.Upstream{
		ID: testID(900), Name: "up", Kind: gatehouse.OpenAI, BaseURL: "https://up.example/v1", Credential: "sk", Clusters: []string{"local"},
		Families: gatehouse.AllFamilies, Serves: []gatehouse.Serve{{Model: "*"}}, HeaderTimeout: time.Minute, IdleTimeout: time.Minute,
	}, "local")
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, up)
	for n := range 12 {
		k := testKey(100+n, func(k *gatehouse.Key) {
			k.Limits = gatehouse.Limits{QPS: int32(n + 1), QPM: 300 + int32(n), TPM: 70_000 + int64(n)}
			k.ACL = gatehouse.ACL{"api-key:endpoint:chat", "api-key:model:m" + fmt.Sprint(n%3+1)}
			k.ExpireTime = start.Add(24 * time.Hour)
			k.IPRanges = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			k.Tags = map[string]string{"cost": "centre"}
			k.Strict, k.Disabled, k.ReserveTPM, k.Blocked = n%2 == 0, n%5 == 4, n%3 == 0, n == 11
			k.Secrets[0].ExpireTime = start.Add(48 * time.Hour)
		})
		k.Revision = rev(1)
		of := feed.KeyRecord
		if n%2 == 0 {
			of = feed.CompactKey
		}
		r, err := of(k)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// R09, acceptance 6: batches that were spoilt before they were signed. What
// each spoils is that record at most, and never to somebody's gain.
func TestMutantsOfSignedBatches(t *testing.T) {
	records := world(t)
	rng := rand.New(rand.NewPCG(6, 100_000))
	before := make([]access, 12)
	fresh := func() *feed.Replica {
		r := feed.NewReplica("local")
		apply(t, r, snapshot(1, records...))
		return r
	}
	r := fresh()
	for i := range before {
		before[i] = accessOf(r, fmt.Sprint("secret ", 100+i))
		if !before[i].found || r.Problem() != "" {
			t.Fatalf("key %d: %+v; %s", i, before[i], r.Problem())
		}
	}
	denied := 0
	for n := range mutants(t) {
		at := rng.IntN(len(records))
		bad, how, judged := mutate(rng, records[at])
		r := fresh()
		b := step(1, 2, bad)
		// Signed after the mutation: through the whole way that a batch takes.
		opened, err := feed.Open(feed.Sign(b, sign), verify)
		if err != nil {
			continue // not even a batch: refused whole
		}
		if err := r.Apply(&opened, start); err != nil {
			t.Fatalf("mutant %d (%s of %s): %v", n, how, records[at].ID, err)
		}
		if r.Problem() != "" {
			denied++
		}
		for i := range before {
			got, own := accessOf(r, fmt.Sprint("secret ", 100+i)), bad.ID == testID(100+i).String()
			isKey := records[at].Kind == gatehouse.KindKey
			switch {
			case isKey && own && judged:
				if why := got.wider(before[i]); why != "" {
					t.Fatalf("mutant %d: %s of key %d widened its %s:\n%q\n%q\n%+v", n, how, i, why, records[at].Body, bad.Body, got)
				}
			case isKey && !own && !reflect.DeepEqual(got, before[i]):
				t.Fatalf("mutant %d: %s of %s changed key %d", n, how, records[at].ID, i)
			case !isKey:
				if why := got.wider(before[i]); why != "" && judged {
					t.Fatalf("mutant %d: %s of %s %s widened key %d's %s", n, how, bad.Kind, bad.ID, i, why)
				}
			}
		}
	}
	if denied == 0 {
		t.Error("no mutant was denied: this test tests nothing")
	}
	t.Logf("%d denied", denied)
}

// mutate spoils a record. judged says that the mutation must not widen access;
// a random byte may turn one valid limit into another, and then only the other
// records are looked at.
func mutate(rng *rand.Rand, r feed.Record) (out feed.Record, how string, judged bool) {
	out = r
	out.Revision = rev(2)
	compact := len(r.Body) > 0 && r.Body[0] != '{'
	switch rng.IntN(8) {
	case 0:
		out.Body = append(append([]byte(nil), r.Body...), r.Body...)
		return out, "doubling", true
	case 1:
		out.Body = r.Body[:rng.IntN(len(r.Body))]
		return out, "cutting", true
	case 2:
		out.Kind = []gatehouse.Kind{"", "unheard_of", "api_keys", gatehouse.Kind(fmt.Sprint(r.Kind, r.Kind))}[rng.IntN(4)]
		return out, "another kind", true
	case 3:
		out.ID = []string{"", "x", r.ID + r.ID, testID(rng.IntN(200)).String()}[rng.IntN(4)]
		return out, "another id", true
	case 4:
		out.Body = append([]byte(nil), r.Body...)
		out.Body[rng.IntN(len(out.Body))] = byte(rng.Uint32())
		return out, "a random byte", false
	}
	if compact {
		out.Body = append([]byte(nil), r.Body...)
		from := 1 + rng.IntN(len(out.Body)-1)
		clear(out.Body[from:min(from+1+rng.IntN(20), len(out.Body))])
		return out, "blanking", true
	}
	var v any
	if err := json.Unmarshal(r.Body, &v); err != nil {
		panic(err)
	}
	how = spoil(rng, v.(map[string]any))
	out.Body = []byte(mustJSON(v))
	return out, how, true
}

// spoil changes one member somewhere in v.
func spoil(rng *rand.Rand, v map[string]any) string {
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	if len(names) == 0 {
		v["unheardOf"] = true
		return "an unknown member"
	}
	// The order of a map is random; the seed must decide alone.
	for i := range names {
		for j := i + 1; j < len(names); j++ {
			if names[j] < names[i] {
				names[i], names[j] = names[j], names[i]
			}
		}
	}
	name := names[rng.IntN(len(names))]
	if inner, ok := v[name].(map[string]any); ok && rng.IntN(3) > 0 {
		return spoil(rng, inner)
	}
	if list, ok := v[name].([]any); ok && len(list) > 0 && rng.IntN(2) == 0 {
		if inner, ok := list[0].(map[string]any); ok {
			return spoil(rng, inner)
		}
		list[0] = list[0].(string) + list[0].(string)
		return "doubling in " + name
	}
	switch rng.IntN(4) {
	case 0:
		v["unheardOf"] = true
		return "an unknown member"
	case 1:
		if _, text := v[name].(string); text {
			v[name] = "unheard-of"
			return "an unknown value of " + name
		}
		v[name] = []any{v[name], v[name]}
		return "doubling " + name
	}
	blanks := []any{nil, "", 0, false, []any{}, map[string]any{}, "0001-01-01T00:00:00Z"}
	v[name] = blanks[rng.IntN(len(blanks))]
	if name == "limits" {
		v[name] = nil // {} is how the first layout writes that there are none
	}
	return fmt.Sprintf("blanking %s to %v", name, v[name])
}

// Old batches are validly signed too. None may be applied again, whatever came
// since; and not one byte may be changed.
func TestReplayedAndUnsignedMutants(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 6))
	records := world(t)
	disabled := testKey(101, func(k *gatehouse.Key) { k.Disabled = true })
	history := []feed.Signed{
		feed.Sign(snapshot(1, records...), sign),
		feed.Sign(step(1, 2, put(t, testKey(500), 2)), sign),
		feed.Sign(step(2, 3, tomb(500, 3), put(t, disabled, 3)), sign),
		feed.Sign(step(3, 4), sign),
	}
	r := feed.NewReplica("local")
	for _, s := range history {
		b, err := feed.Open(s, verify)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, r, &b)
	}
	for range mutants(t) {
		s := history[rng.IntN(len(history))]
		b, err := feed.Open(s, verify)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(&b, start.Add(time.Minute)); gatehouse.CodeOf(err) != gatehouse.Conflict {
			t.Fatalf("a replayed batch %s to %s: %v", b.From, b.To, err)
		}
		changed := append([]byte(nil), s.Payload...)
		changed[rng.IntN(len(changed))] ^= 1 << rng.IntN(8)
		if _, err := feed.Open(feed.Signed{Payload: changed, Signature: s.Signature}, verify); gatehouse.CodeOf(err) != gatehouse.Unauthenticated {
			t.Fatalf("a changed byte: %v", err)
		}
	}
	if r.Applied() != rev(4) || found(r, "secret 500") || accessOf(r, "secret 101").active[0] {
		t.Errorf("at %s", r.Applied())
	}
}
