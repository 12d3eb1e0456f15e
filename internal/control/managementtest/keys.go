package managementtest

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

func createdKey(t *testing.T, p *plane) {
	expire := p.Now().Add(48 * time.Hour).Truncate(time.Second)
	asked := gatehouse.NewKey{
		TeamID: p.TeamID, Name: "  Cafe\u0301  ", ACL: everything, ExpireTime: expire,
		Limits: gatehouse.Limits{QPS: 5, QPM: 100, TPM: 1 << 40}, Strict: true,
		IPRanges: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8")}, Tags: map[string]string{"cost": "42"}, OwnerID: p.UserID,
	}
	m := must[gatehouse.MintedKey](t)(p.CreateKey(p.ctx, asked))
	if m.Token.Plane() != gatehouse.Inference || m.Token.ID() != m.Key.ID || m.Key.Last4() != m.Token.Last4() {
		t.Fatal("the token is not the key's")
	}
	got := must[*gatehouse.Key](t)(p.GetKey(p.ctx, m.Key.ID))
	for field, equal := range map[string]bool{
		"name in normal form": got.Name == "Caf\u00e9",
		"acl":                 slices.Equal(got.ACL, everything),
		"limits":              got.Limits == asked.Limits,
		"expiry":              got.ExpireTime.Equal(expire),
		"strict":              got.Strict,
		"ranges, masked":      fmt.Sprint(got.IPRanges) == "[10.0.0.0/8]",
		"tags":                reflect.DeepEqual(got.Tags, asked.Tags),
		"owner":               got.OwnerID == p.UserID,
		"team":                got.TeamID == p.TeamID,
		"not disabled":        !got.Disabled,
		"one secret":          len(got.Secrets) == 1 && got.Secrets[0].Digest == gatehouse.Digest{},
	} {
		if !equal {
			t.Errorf("%s: got %+v", field, got)
		}
	}
}

func everyViolation(t *testing.T, p *plane) {
	_, err := p.CreateKey(p.ctx, gatehouse.NewKey{
		TeamID: p.TeamID, Name: "a\u0007b", ACL: gatehouse.ACL{"api-key:model:grok-4*"},
		Limits: gatehouse.Limits{QPS: -1, QPM: -1, TPM: gatehouse.MaxTPM + 1}, ExpireTime: p.Now().Add(-time.Hour),
	})
	for _, field := range []string{"name", "acls", "qps", "qpm", "tpm", "expireTime"} {
		wantField(t, field, err)
	}
	for _, name := range []string{"", "   ", strings.Repeat("x", 129)} {
		_, err := p.CreateKey(p.ctx, gatehouse.NewKey{TeamID: p.TeamID, Name: name, ACL: everything})
		wantField(t, "name", err)
	}
	for _, acl := range []string{"api-key:endpoint:nosuch", "api-key:team:x", "*"} {
		_, err := p.CreateKey(p.ctx, gatehouse.NewKey{TeamID: p.TeamID, Name: "x", ACL: gatehouse.ACL{acl}})
		wantField(t, "acls", err)
	}
	_, err = p.CreateKey(p.ctx, gatehouse.NewKey{TeamID: p.TeamID, Name: "x", ACL: everything, OwnerID: gatehouse.NewID()})
	wantField(t, "ownerUserId", err)
}

func warnings(t *testing.T, p *plane) {
	must[*gatehouse.Model](t)(p.PutModel(p.ctx, &gatehouse.Model{Name: "m-1", Type: gatehouse.LanguageModel, Owner: "me"}))
	must[*gatehouse.Alias](t)(p.PutAlias(p.ctx, &gatehouse.Alias{Name: "m", Target: "m-1"}))
	m := must[gatehouse.MintedKey](t)(p.CreateKey(p.ctx, gatehouse.NewKey{
		TeamID: p.TeamID, Name: "x", ACL: gatehouse.ACL{"api-key:model:m", "api-key:model:m-1", "api-key:model:future", "api-key:endpoint:*"},
	}))
	if got := fmt.Sprint([]string(m.Key.ACL)); got != "[api-key:model:m-1 api-key:model:future api-key:endpoint:*]" {
		t.Errorf("stored ACL %s", got)
	}
	if said := strings.Join(m.Warnings, " "); !strings.Contains(said, "future") || !strings.Contains(said, "alias") {
		t.Errorf("warnings %q", said)
	}
}

// masked are updates of one field each, with what they must do and nothing else.
func masked(p *plane) map[string]struct {
	update gatehouse.KeyUpdate
	change func(*gatehouse.Key)
} {
	type c = struct {
		update gatehouse.KeyUpdate
		change func(*gatehouse.Key)
	}
	expire := p.Now().Add(time.Hour).UTC().Truncate(time.Second)
	return map[string]c{
		"name":     {gatehouse.KeyUpdate{Name: gatehouse.Some("new")}, func(k *gatehouse.Key) { k.Name = "new" }},
		"acl":      {gatehouse.KeyUpdate{ACL: gatehouse.Some(gatehouse.ACL(everything[:1]))}, func(k *gatehouse.Key) { k.ACL = everything[:1] }},
		"qps":      {gatehouse.KeyUpdate{QPS: gatehouse.Some(int32(7))}, func(k *gatehouse.Key) { k.Limits.QPS = 7 }},
		"qpm":      {gatehouse.KeyUpdate{QPM: gatehouse.Some(int32(7))}, func(k *gatehouse.Key) { k.Limits.QPM = 7 }},
		"tpm":      {gatehouse.KeyUpdate{TPM: gatehouse.Some(int64(7))}, func(k *gatehouse.Key) { k.Limits.TPM = 7 }},
		"no qps":   {gatehouse.KeyUpdate{QPS: gatehouse.Some(int32(0))}, func(k *gatehouse.Key) { k.Limits.QPS = 0 }},
		"disabled": {gatehouse.KeyUpdate{Disabled: gatehouse.Some(true)}, func(k *gatehouse.Key) { k.Disabled = true }},
		"enabled":  {gatehouse.KeyUpdate{Disabled: gatehouse.Some(false)}, func(k *gatehouse.Key) { k.Disabled = false }},
		"expire":   {gatehouse.KeyUpdate{ExpireTime: gatehouse.Some(expire)}, func(k *gatehouse.Key) { k.ExpireTime = expire }},
		"never":    {gatehouse.KeyUpdate{ExpireTime: gatehouse.Some(time.Time{})}, func(k *gatehouse.Key) { k.ExpireTime = time.Time{} }},
		"strict":   {gatehouse.KeyUpdate{Strict: gatehouse.Some(true)}, func(k *gatehouse.Key) { k.Strict = true }},
		"tags":     {gatehouse.KeyUpdate{Tags: gatehouse.Some(map[string]string{"a": "b"})}, func(k *gatehouse.Key) { k.Tags = map[string]string{"a": "b"} }},
		"owner":    {gatehouse.KeyUpdate{OwnerID: gatehouse.Some(p.UserID)}, func(k *gatehouse.Key) { k.OwnerID = p.UserID }},
	}
}

func updateMask(t *testing.T, p *plane) {
	id := p.key(t, "old").Key.ID
	must[gatehouse.MintedKey](t)(p.UpdateKey(p.ctx, gatehouse.KeyUpdate{ID: id, QPS: gatehouse.Some(int32(3)), QPM: gatehouse.Some(int32(4))}))
	for name, c := range masked(p) {
		before := must[*gatehouse.Key](t)(p.GetKey(p.ctx, id))
		c.update.ID = id
		m := must[gatehouse.MintedKey](t)(p.UpdateKey(p.ctx, c.update))
		if !m.Token.IsZero() {
			t.Errorf("%s: an update shows a token", name)
		}
		after := must[*gatehouse.Key](t)(p.GetKey(p.ctx, id))
		c.change(before)
		if a, b := spelled(before), spelled(after); a != b {
			t.Errorf("%s: got\n%s\nwant\n%s", name, b, a)
		}
	}
}

// spelled is what an update must not touch unasked.
func spelled(k *gatehouse.Key) string {
	return fmt.Sprint(k.ID, k.TeamID, k.UserID, k.Owner(), k.MakerID, k.Name, []string(k.ACL), k.Limits, k.Disabled, k.Blocked,
		k.Strict, k.ReserveTPM, k.IPRanges, k.Tags, k.CreateTime.UTC(), k.ExpireTime.UTC(), k.DeleteTime.UTC(), k.Last4())
}

func updateConflict(t *testing.T, p *plane) {
	m := p.key(t, "x")
	first := must[*gatehouse.Key](t)(p.GetKey(p.ctx, m.Key.ID)).Revision
	rename := func(name string, at gatehouse.Revision) error {
		_, err := p.UpdateKey(p.ctx, gatehouse.KeyUpdate{ID: m.Key.ID, IfMatch: at, Name: gatehouse.Some(name)})
		return err
	}
	ok(t, rename("second", first))
	want(t, gatehouse.Conflict, rename("third", first))
	if k := must[*gatehouse.Key](t)(p.GetKey(p.ctx, m.Key.ID)); k.Name != "second" || !first.Less(k.Revision) {
		t.Errorf("after a refused update: %q at %s", k.Name, k.Revision)
	}
}

func rotation(t *testing.T, p *plane) {
	m := p.key(t, "x")
	rotate := func(r gatehouse.KeyRotation) (gatehouse.MintedKey, error) {
		r.ID = m.Key.ID
		return p.RotateKey(p.ctx, r)
	}
	second := must[gatehouse.MintedKey](t)(rotate(gatehouse.KeyRotation{}))
	if second.Key.ID != m.Key.ID || second.Token.ID() != m.Key.ID || second.Token.Digest() == m.Token.Digest() {
		t.Fatal("a rotation mints a new secret under the same id")
	}
	k := must[*gatehouse.Key](t)(p.GetKey(p.ctx, m.Key.ID))
	if k.Last4() != second.Token.Last4() {
		t.Errorf("the newest secret is not first")
	}
	_, err := rotate(gatehouse.KeyRotation{OldSecretExpire: p.Now().Add(8 * 24 * time.Hour)})
	wantField(t, "oldSecretExpireTime", err)
	_, err = rotate(gatehouse.KeyRotation{OldSecretExpire: p.Now().Add(-time.Hour)})
	wantField(t, "oldSecretExpireTime", err)
	_, err = rotate(gatehouse.KeyRotation{ExpireTime: gatehouse.Some(p.Now().Add(-time.Hour))})
	wantField(t, "expireTime", err)
	third := must[gatehouse.MintedKey](t)(rotate(gatehouse.KeyRotation{OldSecretExpire: p.Now().Add(time.Hour)}))
	if got := must[*gatehouse.Key](t)(p.GetKey(p.ctx, m.Key.ID)); got.Last4() != third.Token.Last4() {
		t.Errorf("the newest secret is not first after two rotations")
	}
}

func deletion(t *testing.T, p *plane) {
	id := p.key(t, "x").Key.ID
	ok(t, p.DeleteKey(p.ctx, id))
	want(t, gatehouse.NotFound, p.DeleteKey(p.ctx, id))
	_, err := p.GetKey(p.ctx, id)
	want(t, gatehouse.NotFound, err)
	if got := gatehouse.Public(err); got != "Cannot find API key" {
		t.Errorf("text %q", got)
	}
	_, err = p.UpdateKey(p.ctx, gatehouse.KeyUpdate{ID: id, Name: gatehouse.Some("y")})
	want(t, gatehouse.NotFound, err)
	_, err = p.RotateKey(p.ctx, gatehouse.KeyRotation{ID: id})
	want(t, gatehouse.NotFound, err)
	_, err = p.Propagation(p.ctx, id, 0)
	ok(t, err)
	if keys, _, err := p.ListKeys(p.ctx, gatehouse.KeyQuery{TeamID: p.TeamID}); err != nil || len(keys) != 0 {
		t.Errorf("a tombstone is listed: %v %v", keys, err)
	}
}

func paging(t *testing.T, p *plane) {
	var made, seen []string
	for i := range 7 {
		made = append(made, p.key(t, fmt.Sprint("key ", i)).Key.ID.String())
	}
	for token, pages := "", 0; ; pages++ {
		keys, next, err := p.ListKeys(p.ctx, gatehouse.KeyQuery{TeamID: p.TeamID, Page: gatehouse.Page{Size: 3, Token: token}})
		ok(t, err)
		for _, k := range keys {
			seen = append(seen, k.ID.String())
		}
		if token = next; token == "" || pages > 5 {
			break
		}
	}
	slices.Sort(made)
	if slices.Sort(seen); !slices.Equal(made, seen) {
		t.Errorf("paged %v, made %v", seen, made)
	}
	keys, next, err := p.ListKeys(p.ctx, gatehouse.KeyQuery{TeamID: p.TeamID, Page: gatehouse.Page{Size: 7}})
	if ok(t, err); len(keys) != 7 || next != "" {
		t.Errorf("a page that holds all has no next: %d, %q", len(keys), next)
	}
}

func pageTokens(t *testing.T, p *plane) {
	other, theirs := p.team(t, "other")
	for range 3 {
		p.key(t, "x")
	}
	list := func(c Client, team gatehouse.ID, active bool, token string) (string, error) {
		_, next, err := c.ListKeys(p.ctx, gatehouse.KeyQuery{TeamID: team, ActiveOnly: active, Page: gatehouse.Page{Size: 1, Token: token}})
		return next, err
	}
	token := must[string](t)(list(p, p.TeamID, false, ""))
	must[string](t)(list(p, p.TeamID, false, token))
	for name, err := range map[string]error{
		"another filter": second(list(p, p.TeamID, true, token)),
		"another team":   second(list(theirs, other, false, token)),
		"tampered":       second(list(p, p.TeamID, false, token[:len(token)-2]+"AA")),
		"invented":       second(list(p, p.TeamID, false, "x")),
	} {
		if !isInvalid(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, _, err := p.ListUsers(p.ctx, p.TeamID, gatehouse.Page{Size: 1, Token: token})
	want(t, gatehouse.InvalidArgument, err)
}

func second[T any](_ T, err error) error { return err }

func isInvalid(err error) bool { return gatehouse.CodeOf(err) == gatehouse.InvalidArgument }

func filters(t *testing.T, p *plane) {
	p.key(t, "plain")
	narrow := must[gatehouse.MintedKey](t)(p.CreateKey(p.ctx, gatehouse.NewKey{
		TeamID: p.TeamID, Name: "narrow", ACL: gatehouse.ACL{"api-key:model:m-9", "api-key:endpoint:chat"},
	}))
	off := p.key(t, "off")
	must[gatehouse.MintedKey](t)(p.UpdateKey(p.ctx, gatehouse.KeyUpdate{ID: off.Key.ID, Disabled: gatehouse.Some(true)}))
	count := func(q gatehouse.KeyQuery) int {
		q.TeamID = p.TeamID
		keys, _, err := p.ListKeys(p.ctx, q)
		ok(t, err)
		return len(keys)
	}
	if n := count(gatehouse.KeyQuery{ActiveOnly: true}); n != 2 {
		t.Errorf("%d active keys, want 2", n)
	}
	if n := count(gatehouse.KeyQuery{ACL: []string{"api-key:model:m-9", "api-key:endpoint:chat"}}); n != 1 {
		t.Errorf("%d keys with both entries, want 1", n)
	}
	if n := count(gatehouse.KeyQuery{UserID: narrow.Key.UserID}); n != 3 {
		t.Errorf("%d keys of their creator, want 3", n)
	}
	if n := count(gatehouse.KeyQuery{UserID: gatehouse.NewID()}); n != 0 {
		t.Errorf("%d keys of a stranger", n)
	}
}
