package gatehouse

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// referenceAllows is the ACL rule said in the plainest way.
func referenceAllows(acl []string, kind, value string) bool {
	return slices.Contains(acl, "api-key:"+kind+":*") || slices.Contains(acl, "api-key:"+kind+":"+value)
}

func drawACL(t *rapid.T, label string) ACL {
	entry := rapid.SampledFrom([]string{
		"api-key:model:*", "api-key:model:grok-4", "api-key:model:grok-4-fast", "api-key:model:a/b",
		"api-key:endpoint:*", "api-key:endpoint:chat", "api-key:endpoint:image",
	})
	return rapid.SliceOfN(entry, 0, 5).Draw(t, label)
}

func TestACLsMatchTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		acl := drawACL(t, "acl")
		model := rapid.SampledFrom([]string{"grok-4", "grok-4-fast", "grok-4-fas", "a/b", "GROK-4", "*", ""}).Draw(t, "model")
		endpoint := rapid.SampledFrom([]string{"chat", "image", "Chat", "*", ""}).Draw(t, "endpoint")
		if got := acl.AllowsModel(model); got != referenceAllows(acl, "model", model) {
			t.Fatalf("%v allows model %q: %v", acl, model, got)
		}
		if got := acl.AllowsEndpoint(endpoint); got != referenceAllows(acl, "endpoint", endpoint) {
			t.Fatalf("%v allows endpoint %q: %v", acl, endpoint, got)
		}
	})
}

func TestNoACLAdmitsNothing(t *testing.T) {
	var acl ACL
	if acl.AllowsModel("grok-4") || acl.AllowsEndpoint("chat") {
		t.Error("an empty ACL admitted something")
	}
}

// Whatever fits within a ceiling grants nothing that the ceiling does not.
func TestWithinIsASubset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		child, parent := drawACL(t, "child"), drawACL(t, "parent")
		if child.Within(parent) != "" {
			return
		}
		for _, m := range []string{"grok-4", "grok-4-fast", "a/b", "never-heard-of"} {
			if child.AllowsModel(m) && !parent.AllowsModel(m) {
				t.Fatalf("%v ⊆ %v, but only the child allows %s", child, parent, m)
			}
		}
	})
}

func TestACLGrammar(t *testing.T) {
	for s, ok := range map[string]bool{
		"api-key:model:*": true, "api-key:endpoint:*": true, "api-key:model:grok-4": true, "api-key:endpoint:chat": true,
		"api-key:model:org/model:tag": true, "api-key:model:grok-4*": false, "api-key:model:": false, "api-key:endpoint:cha": false,
		"api-key:endpoint:chat ": false, "api-key:team:x": false, "": false, "API-KEY:model:*": false, "api-key:model:a b": false,
		"api-key:model:mod\u00e9l": false, "api-key:model:" + strings.Repeat("a", 257): false,
	} {
		var v Violations
		ACL{s}.Validate("acls", &v)
		if (v.Err() == nil) != ok {
			t.Errorf("%q: %v", s, v.Err())
		}
	}
}

// A key that a ceiling admits is below it in every respect; an unlimited key
// is not below a maximum.
func TestGrantsBound(t *testing.T) {
	limit := rapid.Custom(func(t *rapid.T) *int32 {
		if rapid.Bool().Draw(t, "none") {
			return nil
		}
		n := rapid.Int32Range(1, 5).Draw(t, "n")
		return &n
	})
	rapid.Check(t, func(t *rapid.T) {
		g := &Grant{MaxQPS: limit.Draw(t, "qps"), MaxQPM: limit.Draw(t, "qpm")}
		k := &Key{Limits: Limits{QPS: rapid.Int32Range(0, 6).Draw(t, "k.qps"), QPM: rapid.Int32Range(0, 6).Draw(t, "k.qpm")}}
		var v Violations
		g.Admits(k, &v)
		fits := func(got int32, most *int32) bool { return most == nil || got != 0 && got <= *most }
		if want := fits(k.Limits.QPS, g.MaxQPS) && fits(k.Limits.QPM, g.MaxQPM); (v.Err() == nil) != want {
			t.Fatalf("limits %+v under %v/%v: %v", k.Limits, g.MaxQPS, g.MaxQPM, v.Err())
		}
	})
}

// A child's grant that the maker's covers admits no key that the maker's would not.
func TestCoveredGrantsAddNothing(t *testing.T) {
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	draw := func(t *rapid.T, label string) *Grant {
		var g Grant
		if rapid.Bool().Draw(t, label+" acl") {
			a := drawACL(t, label)
			g.ACL = &a
		}
		if rapid.Bool().Draw(t, label+" qps") {
			n := rapid.Int32Range(1, 4).Draw(t, label+" n")
			g.MaxQPS = &n
		}
		if rapid.Bool().Draw(t, label+" exp") {
			e := at.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, label+" h")) * time.Hour)
			g.MaxExpireTime = &e
		}
		return &g
	}
	rapid.Check(t, func(t *rapid.T) {
		maker, child := draw(t, "maker"), draw(t, "child")
		var v Violations
		maker.Covers(child, &v)
		if v.Err() != nil {
			return
		}
		k := &Key{ACL: drawACL(t, "key"), Limits: Limits{QPS: rapid.Int32Range(0, 5).Draw(t, "qps")}}
		if rapid.Bool().Draw(t, "expires") {
			k.ExpireTime = at.Add(time.Duration(rapid.IntRange(0, 4).Draw(t, "h")) * time.Hour)
		}
		var byChild, byMaker Violations
		child.Admits(k, &byChild)
		maker.Admits(k, &byMaker)
		if byChild.Err() == nil && byMaker.Err() != nil {
			t.Fatalf("the child may make what its maker may not: %v", byMaker.Err())
		}
	})
}

func TestMoneyMatchesBigIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, n := Ticks(rapid.Int64Min(0).Draw(t, "a")), rapid.Int64Min(0).Draw(t, "n")
		want := new(big.Int).Mul(big.NewInt(int64(a)), big.NewInt(n))
		if got, ok := a.Mul(n); ok != want.IsInt64() || ok && int64(got) != want.Int64() {
			t.Fatalf("%d × %d = %d, %v", a, n, got, ok)
		}
		b := Ticks(rapid.Int64().Draw(t, "b"))
		want.Add(big.NewInt(int64(a)), big.NewInt(int64(b)))
		if got, ok := a.Add(b); ok != want.IsInt64() || ok && int64(got) != want.Int64() {
			t.Fatalf("%d + %d = %d, %v", a, b, got, ok)
		}
	})
}

func TestTicksPrintExactly(t *testing.T) {
	for in, want := range map[Ticks]string{0: "$0.00", 1: "$0.0000000001", USD: "$1.00", -Cent: "-$0.01", 12345 * Cent: "$123.45", math.MinInt64: "-$922337203.6854775808"} {
		if got := in.String(); got != want {
			t.Errorf("%d prints %s, want %s", int64(in), got, want)
		}
	}
}

// Rating is Σ units × price; what has no price is said, never free.
func TestRatingAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &Price{Units: map[string]Ticks{}}
		var u Usage
		want, ok := Ticks(0), true
		for _, unit := range []Unit{PromptText, CacheRead, CompletionText, Images} {
			u[unit] = rapid.Int64Range(0, 1000).Draw(t, unit.String())
			if rapid.Bool().Draw(t, "priced") {
				p.Units[unit.String()] = Ticks(rapid.Int64Range(0, 50000).Draw(t, "price"))
			}
			price, found := p.Units[unit.String()]
			if !found && unit == CacheRead {
				price, found = p.Units[PromptText.String()]
			}
			if u[unit] > 0 && !found {
				ok = false
			}
			if found {
				want += price * Ticks(u[unit])
			}
		}
		costs, _, gotOK := p.Rate(u, "")
		if gotOK != ok || ok && costs.Total() != want {
			t.Fatalf("rated %s, %v; want %s, %v", costs.Total(), gotOK, want, ok)
		}
	})
}

func TestLongContextPricesReplaceThePlain(t *testing.T) {
	p := &Price{Units: map[string]Ticks{"Prompt text tokens": 2, "Completion text tokens": 3}, LongContext: map[string]Ticks{"Prompt text tokens": 4}, LongThreshold: 100}
	for prompt, want := range map[int64]Ticks{100: 203, 101: 407} {
		costs, long, ok := p.Rate(Usage{PromptText: prompt, CompletionText: 1}, "")
		if !ok || long != (prompt > 100) || costs.Total() != want {
			t.Errorf("%d prompt tokens cost %d (long %v), want %d", prompt, costs.Total(), long, want)
		}
	}
}

func TestUnitNamesAreDistinctAndParse(t *testing.T) {
	for u := range NumUnits {
		if got, ok := ParseUnit(u.String()); !ok || got != u {
			t.Errorf("unit %d does not survive its name %q", u, u)
		}
	}
}

func TestRevisionsOrderEpochsFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(l string) Revision {
			return Revision{rapid.Int64Range(0, 2).Draw(t, l), rapid.Int64Range(0, 2).Draw(t, l)}
		}
		a, b := draw("a"), draw("b")
		if a.Compare(b) != -b.Compare(a) || (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("%v and %v", a, b)
		}
		if got, err := ParseRevision(a.String()); err != nil || got != a {
			t.Fatalf("%v does not survive its text: %v", a, err)
		}
	})
}

func TestOperationsAreOneNamePerRoute(t *testing.T) {
	names, routes := map[Operation]bool{}, map[string]bool{}
	for _, o := range Operations {
		if names[o.Name] || routes[o.Method+o.Path] {
			t.Errorf("%s %s %s stands twice", o.Name, o.Method, o.Path)
		}
		names[o.Name], routes[o.Method+o.Path] = true, true
	}
}

func TestErrorsKeepTheirCauseToThemselves(t *testing.T) {
	err := error(Errorf(NotFound, "Cannot find API key").Because(Errorf(Internal, "no such table: keys")))
	if Public(err) != "Cannot find API key" || CodeOf(err) != NotFound {
		t.Errorf("public %q, code %s", Public(err), CodeOf(err))
	}
	if Public(Errorf(Internal, "SELECT * FROM keys")) != "internal error" {
		t.Error("an unclassified error spoke")
	}
}
