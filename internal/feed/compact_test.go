package feed_test

import (
	"encoding/hex"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse"
	"gatehouse/internal/feed"
)

// whole is a key in which every member says something.
func whole() *gatehouse.Key {
	at := func(n int) time.Time { return start.Add(time.Duration(n)*time.Hour + time.Nanosecond) }
	return &gatehouse.Key{
		ID: testID(1), TeamID: testID(2), UserID: testID(3), OwnerID: testID(4), MakerID: testID(5), ModifiedBy: testID(6), Name: "key Ω",
		ACL:    gatehouse.ACL{"api-key:endpoint:chat", "api-key:model:a/b:c"},
		Limits: gatehouse.Limits{QPS: 1<<31 - 1, QPM: 1, TPM: gatehouse.MaxTPM}, Disabled: true, Blocked: true, Strict: true, ReserveTPM: true,
		IPRanges: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Tags:     map[string]string{"a": "b", "c": ""}, CreateTime: at(1), ModifyTime: at(2), ExpireTime: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		Secrets: []gatehouse.Secret{
			{Digest: digest("one"), Last4: "abcd", Foreign: true, CreateTime: at(3), ExpireTime: at(4)}, {Digest: digest("two"), CreateTime: at(5)},
		},
		Revision: rev(7),
	}
}

// A member that the compact body forgot would be a restriction that no gateway
// enforces. So every member of a key is either in it, or named here with why not.
func TestTheCompactKeyHasEveryMember(t *testing.T) {
	elsewhere := map[string]string{"DeleteTime": "a tombstone has no body", "LastUse": "no part of the record",
		"StrictSince": "control alone asks for it"}
	k := whole()
	r, err := feed.CompactKey(k)
	if err != nil {
		t.Fatal(err)
	}
	got, err := feed.ParseKey(&r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(k, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("(-sent +read)\n%s", diff)
	}
	for _, v := range []reflect.Value{reflect.ValueOf(*k), reflect.ValueOf(k.Limits), reflect.ValueOf(k.Secrets[0])} {
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Field(i).IsZero() && elsewhere[name] == "" {
				t.Errorf("%s.%s is not tried here: put it into compact.go and into this key", v.Type(), name)
			}
		}
	}
}

// The layout is on disks and under signatures: it does not change.
func TestTheCompactKeyIsFinal(t *testing.T) {
	r, err := feed.CompactKey(whole())
	if err != nil {
		t.Fatal(err)
	}
	const want = "020130303030303030303030303030303032023030303030303030303030303030303303303030303030303030303030303030340430303030303030" +
		"30303030303030303505066b657920cea90602156170692d6b65793a656e64706f696e743a63686174136170692d6b65793a6d6f64656c3a612f623a" +
		"6307feffffff0f0802098080b4ccd4dfc6030a1e0b020c3139322e302e322e302f32340d323030313a6462383a3a2f33320c02016101620163000da0" +
		"8fa59f0d010ec0c7a59f0d010f303030303030303030303030303030361080b898e1df0e0011027692c3ad3540bb803c020b3aee66cd8887123234ea" +
		"0c6e7143c0add73ff431ed046162636403e0ffa59f0d0180b8a69f0d013fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2" +
		"f30000a0f0a69f0d01"
	if got := hex.EncodeToString(r.Body); got != want {
		t.Errorf("the body is\n%s", got)
	}
}

// FuzzCompactKey: whatever is read is what is written again, so a key has one
// encoding, and nothing panics.
func FuzzCompactKey(f *testing.F) {
	for _, k := range []*gatehouse.Key{whole(), testKey(1)} {
		r, err := feed.CompactKey(k)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Body)
	}
	f.Add([]byte{2, 10, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 || body[0] != 2 {
			return
		}
		k, err := feed.ParseKey(&feed.Record{Kind: gatehouse.KindKey, ID: testID(1).String(), Revision: rev(7), Body: body})
		if err != nil {
			return
		}
		again, err := feed.CompactKey(k)
		if err != nil || string(again.Body) != string(body) {
			t.Errorf("%x is written again as %x, %v", body, again.Body, err)
		}
	})
}
