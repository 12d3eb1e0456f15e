package storetest

import (
	"fmt"
	"net/netip"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var keyPromises = []promise{
	{"a key reads back as it was put", keyReadsBack},
	{"a tombstone is returned, listed nowhere, and never revived", tombstoneStays},
	{"keys page by create time and id", keysPage},
	{"key filters narrow: user, ACL, active", keysFilter},
	{"every key is in a snapshot, tombstones included", allKeys},
	{"management keys list by team or all, revoked left out", managementKeys},
	{"teams and people list by create time", teamsAndPeople},
	{"last use only moves forward", lastUse},
}

func keyReadsBack(b *bench) {
	k := b.key("full", start)
	k.OwnerID, k.MakerID, k.ModifiedBy = gatehouse.NewID(), gatehouse.NewID(), gatehouse.NewID()
	k.Limits = gatehouse.Limits{QPS: 1, QPM: 2, TPM: 3}
	k.Disabled, k.Blocked, k.Strict, k.ReserveTPM = true, true, true, true
	k.IPRanges = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	k.Tags = map[string]string{"cost": "r&d", "ü": "é"}
	k.ExpireTime = start.Add(time.Hour)
	k.Secrets = append(k.Secrets, gatehouse.Secret{Digest: gatehouse.DigestOf("old"), Last4: "abcd", CreateTime: start, ExpireTime: start.Add(time.Minute)})
	rev := b.putKey(k)
	b.view(func(v store.View) error {
		got, err := v.Key(k.ID)
		b.ok(err)
		b.equal(got, k)
		b.equal(got.Revision, rev)
		_, err = v.Key(gatehouse.NewID())
		b.is(err, gatehouse.NotFound)
		return nil
	})
}

func tombstoneStays(b *bench) {
	k := b.key("gone", start)
	b.putKey(k)
	k.DeleteTime, k.Secrets = start.Add(time.Hour), nil
	b.putKey(k)
	b.view(func(v store.View) error {
		got, err := v.Key(k.ID)
		b.ok(err)
		b.equal(got.Deleted(), true)
		for _, acl := range [][]string{nil, {gatehouse.ModelACL("*")}} {
			keys, err := v.Keys(store.KeyList{Team: b.team, ACL: acl, Limit: 10})
			b.ok(err)
			b.equal(len(keys), 0)
		}
		return nil
	})
	rev := b.revision()
	revived := b.key("back", start)
	revived.ID = k.ID
	for _, back := range []*gatehouse.Key{revived, k} {
		_, err := b.s.Update(b.ctx, b.cause(), func(tx store.Tx) error { return tx.PutKey(back, b.act("api_key.created", "back")) })
		b.is(err, gatehouse.FailedPrecondition)
	}
	b.equal(b.revision(), rev)
}

func keysPage(b *bench) {
	var want []string
	b.update(func(tx store.Tx) error {
		for i := range 25 {
			k := b.key(fmt.Sprint(i), start.Add(time.Duration(i/5)*time.Second)) // five share each moment
			b.ok(tx.PutKey(k, b.act("api_key.created", "k")))
		}
		other := b.key("other", start)
		other.TeamID = gatehouse.NewID()
		return tx.PutKey(other, b.act("api_key.created", "k"))
	})
	var got []string
	b.view(func(v store.View) error {
		all, err := v.Keys(store.KeyList{Team: b.team, Limit: 100})
		b.ok(err)
		want = names(all)
		for after := (store.Cursor{}); ; {
			page, err := v.Keys(store.KeyList{Team: b.team, After: after, Limit: 4})
			b.ok(err)
			got = append(got, names(page)...)
			if len(page) < 4 {
				return nil
			}
			last := page[len(page)-1]
			after = store.Cursor{Time: last.CreateTime, ID: last.ID.String()}
		}
	})
	b.equal(len(want), 25)
	b.equal(got, want)
}

func keysFilter(b *bench) {
	other := gatehouse.NewID()
	put := func(name string, edit func(*gatehouse.Key)) *gatehouse.Key {
		k := b.key(name, start.Add(time.Duration(len(name))*time.Second))
		edit(k)
		b.putKey(k)
		return k
	}
	put("a", func(k *gatehouse.Key) {})
	put("bb", func(k *gatehouse.Key) { k.UserID = other })
	put("ccc", func(k *gatehouse.Key) { k.Disabled = true })
	put("dddd", func(k *gatehouse.Key) { k.ExpireTime = start })
	moved := put("eeeee", func(k *gatehouse.Key) { k.ACL = gatehouse.ACL{gatehouse.ModelACL("x"), gatehouse.EndpointACL("chat")} })
	list := func(q store.KeyList) (out []string) {
		q.Team, q.Now, q.Limit = b.team, start, 100
		b.view(func(v store.View) error {
			keys, err := v.Keys(q)
			out = names(keys)
			return err
		})
		return out
	}
	chat, all := gatehouse.EndpointACL("chat"), gatehouse.ModelACL("*")
	b.equal(list(store.KeyList{User: other}), []string{"bb"})
	b.equal(list(store.KeyList{ActiveOnly: true}), []string{"a", "bb", "eeeee"})
	b.equal(list(store.KeyList{ACL: []string{chat}}), []string{"a", "bb", "ccc", "dddd", "eeeee"})
	b.equal(list(store.KeyList{ACL: []string{chat, gatehouse.ModelACL("x")}}), []string{"eeeee"})
	b.equal(list(store.KeyList{ACL: []string{all, chat}, ActiveOnly: true, User: b.user}), []string{"a"})
	b.equal(list(store.KeyList{ACL: []string{"api-key:model:%"}}), []string(nil))
	moved.ACL = gatehouse.ACL{gatehouse.ModelACL("y")}
	b.putKey(moved)
	b.equal(list(store.KeyList{ACL: []string{gatehouse.ModelACL("x")}}), []string(nil))
	b.equal(list(store.KeyList{ACL: []string{gatehouse.ModelACL("y")}}), []string{"eeeee"})
}

func allKeys(b *bench) {
	gone := b.key("gone", start)
	b.putKey(gone)
	gone.DeleteTime = start
	b.putKey(gone)
	b.putKey(b.key("here", start))
	n := 0
	b.view(func(v store.View) error {
		return v.AllKeys(func(*gatehouse.Key) error {
			n++
			return v.AllKeys(func(*gatehouse.Key) error { n++; return nil }) // a scan within a scan
		})
	})
	b.equal(n, 6)
	mine := gatehouse.Errorf(gatehouse.Conflict, "mine")
	b.is(b.s.View(b.ctx, func(v store.View) error { return v.AllKeys(func(*gatehouse.Key) error { return mine }) }), gatehouse.Conflict)
}

func managementKeys(b *bench) {
	make := func(name string, team gatehouse.ID) *gatehouse.ManagementKey {
		most := int32(5)
		k := &gatehouse.ManagementKey{
			ID: gatehouse.NewID(), Scope: gatehouse.ScopeTeam, TeamID: team, UserID: b.user, Name: name,
			ACL: []string{gatehouse.ScopeFor(gatehouse.CreateApiKey)}, Grant: &gatehouse.Grant{MaxQPS: &most},
			CreateTime: start.Add(time.Duration(name[0]) * time.Second), ModifyTime: start,
			Secrets: []gatehouse.Secret{{Digest: gatehouse.DigestOf(name), Last4: "0000", CreateTime: start}},
		}
		b.update(func(tx store.Tx) error { return tx.PutManagementKey(k, b.act("management_key.created", name)) })
		return k
	}
	first, second, foreign := make("a", b.team), make("b", b.team), make("c", gatehouse.NewID())
	b.view(func(v store.View) error {
		got, err := v.ManagementKey(first.ID)
		b.ok(err)
		b.equal(got, first)
		mine, err := v.ManagementKeys(b.team, store.Cursor{}, 10)
		b.equal(mine, []*gatehouse.ManagementKey{first, second})
		b.ok(err)
		rest, err := v.ManagementKeys(gatehouse.ID{}, store.Cursor{Time: first.CreateTime, ID: first.ID.String()}, 10)
		b.equal(rest, []*gatehouse.ManagementKey{second, foreign})
		return err
	})
	second.DeleteTime, second.Secrets = start, nil
	b.update(func(tx store.Tx) error { return tx.PutManagementKey(second, b.act("management_key.revoked", "b")) })
	b.view(func(v store.View) error {
		mine, err := v.ManagementKeys(b.team, store.Cursor{}, 10)
		b.equal(mine, []*gatehouse.ManagementKey{first})
		return err
	})
}

func teamsAndPeople(b *bench) {
	team := &gatehouse.Team{ID: b.team, Name: "One", Billing: gatehouse.BillingMetering, CreateTime: start}
	later := &gatehouse.Team{ID: gatehouse.NewID(), Name: "Two", Blocked: true, CreateTime: start.Add(time.Second)}
	user := &gatehouse.User{ID: b.user, TeamID: b.team, GivenName: "Ada", FamilyName: "L", Email: "ada@example.org", CreateTime: start}
	b.update(func(tx store.Tx) error {
		b.ok(tx.PutTeam(later, b.act("team.created", "two")))
		b.ok(tx.PutTeam(team, b.act("team.created", "one")))
		return tx.PutUser(user, b.act("user.created", "ada"))
	})
	b.view(func(v store.View) error {
		teams, err := v.Teams(store.Cursor{}, 10)
		b.ok(err)
		b.equal(teams, []*gatehouse.Team{team, later})
		teams, err = v.Teams(store.Cursor{Time: start, ID: team.ID.String()}, 10)
		b.ok(err)
		b.equal(teams, []*gatehouse.Team{later})
		got, err := v.Team(b.team)
		b.ok(err)
		b.equal(got, team)
		who, err := v.User(b.user)
		b.ok(err)
		b.equal(who, user)
		people, err := v.Users(b.team, store.Cursor{}, 10)
		b.equal(people, []*gatehouse.User{user})
		return err
	})
}

func lastUse(b *bench) {
	k := gatehouse.NewID()
	touch := func(at time.Time, last4 string) {
		b.work(func(w store.Work) error { return w.TouchKeys([]store.LastUse{{KeyID: k, Last4: last4, Time: at}}) })
	}
	touch(start, "aaaa")
	touch(start.Add(-time.Hour), "aaaa")
	touch(start.Add(time.Hour), "bbbb")
	b.view(func(v store.View) error {
		got, err := v.LastUse(k)
		b.equal(got, map[string]time.Time{"aaaa": start, "bbbb": start.Add(time.Hour)})
		return err
	})
}
