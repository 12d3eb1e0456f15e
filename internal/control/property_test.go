package control_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/store"
)

// The pieces that random makers and requests are made of: few enough that
// fitting and exceeding are both common.
var (
	someACLs     = []string{"api-key:model:*", "api-key:model:a", "api-key:model:b", "api-key:endpoint:*", "api-key:endpoint:chat", "api-key:endpoint:embed"}
	someScopes   = []string{"*", "CreateApiKey", "UpdateApiKey", "RotateApiKey", "CreateManagementKey", "RotateManagementKey"}
	somePrefixes = []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/7"}
)

func someOf(r *rapid.T, label string, from []string) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 3, rapid.ID[string]).Draw(r, label)
}

func someGrant(r *rapid.T, now time.Time) *gatehouse.Grant {
	if rapid.Bool().Draw(r, "unbounded") {
		return nil
	}
	g := &gatehouse.Grant{}
	if rapid.Bool().Draw(r, "grant acl") {
		acl := gatehouse.ACL(someOf(r, "grant acls", someACLs))
		g.ACL = &acl
	}
	if rapid.Bool().Draw(r, "grant qps") {
		n := rapid.Int32Range(1, 3).Draw(r, "max qps")
		g.MaxQPS = &n
	}
	if rapid.Bool().Draw(r, "grant tpm") {
		n := rapid.Int64Range(1, 3).Draw(r, "max tpm")
		g.MaxTPM = &n
	}
	if rapid.Bool().Draw(r, "grant expiry") {
		at := someTime(r, now)
		if at.IsZero() {
			at = now.Add(time.Hour)
		}
		g.MaxExpireTime = &at
	}
	return g
}

// someTime is never, or one of three hours.
func someTime(r *rapid.T, now time.Time) time.Time {
	n := rapid.IntRange(0, 3).Draw(r, "hours")
	if n == 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(n) * 24 * time.Hour).Truncate(time.Hour)
}

func someManager(r *rapid.T, now time.Time) gatehouse.NewManagementKey {
	n := gatehouse.NewManagementKey{
		Name: "m", Grant: someGrant(r, now), ExpireTime: someTime(r, now),
		Scope: rapid.SampledFrom([]gatehouse.Scope{gatehouse.ScopeTeam, gatehouse.ScopeOrganization}).Draw(r, "scope"),
	}
	for _, s := range someOf(r, "scopes", someScopes) {
		n.ACL = append(n.ACL, gatehouse.ScopeFor(gatehouse.Operation(s)))
	}
	for _, s := range someOf(r, "ranges", somePrefixes) {
		n.IPRanges = append(n.IPRanges, netip.MustParsePrefix(s))
	}
	return n
}

func someKey(r *rapid.T, now time.Time) gatehouse.NewKey {
	return gatehouse.NewKey{
		Name: "k", ACL: someOf(r, "acl", someACLs), ExpireTime: someTime(r, now),
		Limits: gatehouse.Limits{QPS: rapid.Int32Range(0, 4).Draw(r, "qps"), TPM: rapid.Int64Range(0, 4).Draw(r, "tpm")},
	}
}

// I9, T05. The oracle is written apart from the code: authority as a set of
// points, compared point by point.
func TestNonAmplification(t *testing.T) {
	h := open(t)
	allowed, refused := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		now := h.clock.Now()
		maker := h.manager(t, someManager(r, now))
		ip := netip.MustParseAddr("10.1.2.3")
		if !gatehouse.AllowedFrom(maker.Key.IPRanges, ip) {
			return
		}
		c := h.As(&gatehouse.Call{Token: maker.Token, IP: ip})
		for range rapid.IntRange(1, 4).Draw(r, "steps") {
			err := step(t, h, r, c, maker.Key)
			if err == nil {
				allowed++
				continue
			}
			refused++
			if code := gatehouse.CodeOf(err); code != gatehouse.PermissionDenied && code != gatehouse.InvalidArgument && code != gatehouse.NotFound {
				r.Fatalf("refused by %v", err)
			}
		}
	})
	if allowed < 10 || refused < 10 {
		t.Errorf("%d allowed and %d refused: the property saw one side only", allowed, refused)
	}
}

// step makes one random request and judges what it left.
func step(t *testing.T, h *house, r *rapid.T, c *control.Caller, maker *gatehouse.ManagementKey) error {
	now := h.clock.Now()
	switch rapid.IntRange(0, 4).Draw(r, "operation") {
	case 0:
		m, err := c.CreateKey(t.Context(), someKey(r, now))
		return judgeKey(r, maker, m.Key, err)
	case 1:
		wide := h.key(t)
		n := someKey(r, now)
		m, err := c.UpdateKey(t.Context(), gatehouse.KeyUpdate{
			ID: wide.Key.ID, ACL: gatehouse.Some(n.ACL), QPS: gatehouse.Some(n.Limits.QPS),
			TPM: gatehouse.Opt[int64]{Set: rapid.Bool().Draw(r, "set tpm"), Value: n.Limits.TPM}, ExpireTime: gatehouse.Some(n.ExpireTime),
		})
		return judgeKey(r, maker, m.Key, err)
	case 2:
		made, err := h.root().CreateKey(t.Context(), someKey(r, now))
		if err != nil {
			return err
		}
		m, err := c.RotateKey(t.Context(), gatehouse.KeyRotation{ID: made.Key.ID, ExpireTime: gatehouse.Opt[time.Time]{Set: rapid.Bool().Draw(r, "set expiry"), Value: someTime(r, now)}})
		return judgeKey(r, maker, m.Key, err)
	case 3:
		m, err := c.CreateManagementKey(t.Context(), someManager(r, now))
		return judgeManager(r, maker, m.Key, err)
	default:
		strong := h.manager(t, someManager(r, now))
		m, err := c.RotateManagementKey(t.Context(), gatehouse.KeyRotation{ID: strong.Key.ID})
		return judgeManager(r, maker, m.Key, err)
	}
}

func judgeKey(r *rapid.T, maker *gatehouse.ManagementKey, k *gatehouse.Key, err error) error {
	if err == nil {
		if excess := exceeds(maker.Grant, k.ACL, k.Limits.QPS, k.Limits.TPM, k.ExpireTime); excess != "" {
			r.Fatalf("%s of key %+v exceeds grant %+v", excess, k, maker.Grant)
		}
	}
	return err
}

// exceeds asks of every model, endpoint, rate and day whether the key reaches
// it and the grant does not. A rate of 0, and no expiry, is beyond every maximum.
func exceeds(g *gatehouse.Grant, acl gatehouse.ACL, qps int32, tpm int64, expire time.Time) string {
	if g == nil {
		return ""
	}
	for _, name := range []string{"a", "b", "chat", "embed", "something else"} {
		if g.ACL != nil && (acl.AllowsModel(name) && !g.ACL.AllowsModel(name) || acl.AllowsEndpoint(name) && !g.ACL.AllowsEndpoint(name)) {
			return name
		}
	}
	switch {
	case g.MaxQPS != nil && (qps == 0 || qps > *g.MaxQPS):
		return "qps"
	case g.MaxTPM != nil && (tpm == 0 || tpm > *g.MaxTPM):
		return "tpm"
	case g.MaxExpireTime != nil && (expire.IsZero() || expire.After(*g.MaxExpireTime)):
		return "expiry"
	}
	return ""
}

func judgeManager(r *rapid.T, maker, k *gatehouse.ManagementKey, err error) error {
	if err != nil {
		return err
	}
	for _, op := range gatehouse.Operations {
		if k.MayCall(op.Name) && !maker.MayCall(op.Name) {
			r.Fatalf("the child may call %s", op.Name)
		}
	}
	for _, ip := range []string{"10.1.2.3", "10.1.9.9", "10.9.9.9", "11.0.0.1", "192.0.2.1", "::1"} {
		a := netip.MustParseAddr(ip)
		if gatehouse.AllowedFrom(k.IPRanges, a) && !gatehouse.AllowedFrom(maker.IPRanges, a) {
			r.Fatalf("the child may come from %s", ip)
		}
	}
	if k.Scope == gatehouse.ScopeOrganization && maker.Scope != k.Scope {
		r.Fatal("the child reaches further")
	}
	if m := maker.ExpireTime; !m.IsZero() && (k.ExpireTime.IsZero() || k.ExpireTime.After(m)) {
		r.Fatal("the child lives longer")
	}
	if excess := grantExceeds(maker.Grant, k.Grant); excess != "" {
		r.Fatalf("%s: the child's grant %+v exceeds %+v", excess, k.Grant, maker.Grant)
	}
	return nil
}

// grantExceeds looks for the largest key that the child may make, and asks
// whether its maker may.
func grantExceeds(maker, child *gatehouse.Grant) string {
	if child == nil {
		child = &gatehouse.Grant{}
	}
	acl, qps, tpm, expire := all, int32(0), int64(0), time.Time{}
	if child.ACL != nil {
		acl = *child.ACL
	}
	if child.MaxQPS != nil {
		qps = *child.MaxQPS
	}
	if child.MaxTPM != nil {
		tpm = *child.MaxTPM
	}
	if child.MaxExpireTime != nil {
		expire = *child.MaxExpireTime
	}
	return exceeds(maker, acl, qps, tpm, expire)
}

// T06: whatever combination of fields an update names, the others keep their
// stored value. The comparison is of the stored records, secrets included.
func TestFieldMaskExact(t *testing.T) {
	h := open(t)
	id := h.key(t).Key.ID
	rapid.Check(t, func(r *rapid.T) {
		before := h.stored(t, id)
		u, expect := someUpdate(r, id, *before, h.clock.Now(), h.first.UserID)
		if _, err := h.root().UpdateKey(t.Context(), u); err != nil {
			r.Fatal(err)
		}
		after := h.stored(t, id)
		expect.ModifyTime, expect.ModifiedBy, expect.Revision = after.ModifyTime, after.ModifiedBy, after.Revision
		switch { // the revision since which the key has been strict without a break
		case !expect.Strict:
			expect.StrictSince = gatehouse.Revision{}
		case !before.Strict:
			expect.StrictSince = after.Revision
		}
		if a, b := fmt.Sprintf("%+v", expect), fmt.Sprintf("%+v", *after); a != b {
			r.Fatalf("want\n%s\ngot\n%s", a, b)
		}
	})
}

func (h *house) stored(t *testing.T, id gatehouse.ID) (k *gatehouse.Key) {
	t.Helper()
	err := h.store.View(t.Context(), func(v store.View) (err error) {
		k, err = v.Key(id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func someUpdate(r *rapid.T, id gatehouse.ID, k gatehouse.Key, now time.Time, owner gatehouse.ID) (gatehouse.KeyUpdate, gatehouse.Key) {
	u := gatehouse.KeyUpdate{ID: id}
	some(r, "name", &u.Name, &k.Name, rapid.SampledFrom([]string{"a", "b", "ü"}))
	some(r, "acl", &u.ACL, &k.ACL, rapid.SampledFrom([]gatehouse.ACL{all, all[:1], {"api-key:endpoint:chat"}}))
	some(r, "qps", &u.QPS, &k.Limits.QPS, rapid.Int32Range(0, 5))
	some(r, "qpm", &u.QPM, &k.Limits.QPM, rapid.Int32Range(0, 5))
	some(r, "tpm", &u.TPM, &k.Limits.TPM, rapid.Int64Range(0, 5))
	some(r, "disabled", &u.Disabled, &k.Disabled, rapid.Bool())
	some(r, "strict", &u.Strict, &k.Strict, rapid.Bool())
	some(r, "reserve", &u.ReserveTPM, &k.ReserveTPM, rapid.Bool())
	some(r, "owner", &u.OwnerID, &k.OwnerID, rapid.SampledFrom([]gatehouse.ID{{}, owner}))
	some(r, "expire", &u.ExpireTime, &k.ExpireTime, rapid.Custom(func(r *rapid.T) time.Time { return someTime(r, now) }))
	some(r, "tags", &u.Tags, &k.Tags, rapid.SampledFrom([]map[string]string{nil, {"a": "b"}, {"c": "d", "e": "f"}}))
	some(r, "ranges", &u.IPRanges, &k.IPRanges, rapid.SampledFrom([][]netip.Prefix{nil, {netip.MustParsePrefix("10.0.0.0/8")}}))
	return u, k
}

func some[T any](r *rapid.T, label string, o *gatehouse.Opt[T], field *T, from *rapid.Generator[T]) {
	if rapid.Bool().Draw(r, label+" named") {
		*field = from.Draw(r, label)
		*o = gatehouse.Some(*field)
	}
}
