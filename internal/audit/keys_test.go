package audit

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"gatehouse"
)

// linkEvent is what control writes when a signing key is rotated.
func linkEvent(i int64, action string, s gatehouse.Succession) gatehouse.Event {
	e := event(i)
	e.Kind, e.Subject, e.Result, e.Action, e.Details = gatehouse.KindInstallation, "", gatehouse.Done, action, LinkDetails(s)
	return e
}

// rotated is a log whose key changes from old to new at 10 and for good at 20;
// in between both sign. It has 30 leaves.
func rotated(old, new installation) []Leaf {
	s := gatehouse.Succeed(old.key, new.key)
	var leaves []Leaf
	for i := range int64(30) {
		by, e := old, event(i)
		switch {
		case i == 10:
			e = linkEvent(i, ActionSucceeded, s)
		case i == 20:
			by, e = new, linkEvent(i, ActionRetired, s.Retire(new.key))
		case i > 20 || i > 10 && i%2 == 0:
			by = new
		}
		leaves = append(leaves, by.leaf(e))
	}
	return leaves
}

// Whoever kept the first key can verify for ever, and whoever has the newest
// one can verify from the beginning.
func TestEveryKeyOfAnInstallationVerifiesItsLog(t *testing.T) {
	old, new := newInstallation(t, 1), newInstallation(t, 2)
	leaves := rotated(old, new)
	for _, covered := range []int{30, 25, 21} {
		checkpoint := new.checkpoint(t, leaves[:covered])
		for name, key := range map[string]string{"first": old.vkey, "newest": new.vkey} {
			r, err := Verify(source(leaves), checkpoint, key)
			if err != nil || !r.OK() || r.Checked != 30 {
				t.Errorf("%s key, %d covered: %+v, %v", name, covered, r, err)
			}
		}
	}
	if r, err := Verify(source(leaves), old.checkpoint(t, leaves[:15]), old.vkey); err != nil || !r.OK() {
		t.Errorf("a checkpoint from before the end of the old key: %+v, %v", r, err)
	}
}

func TestALeafIsJudgedByTheKeysOfItsPlace(t *testing.T) {
	old, new, foreign := newInstallation(t, 1), newInstallation(t, 2), newInstallation(t, 3)
	for name, c := range map[string]struct {
		at int
		by installation
	}{"the new key before its time": {5, new}, "the old key after its end": {25, old}, "a stranger's key": {15, foreign}} {
		leaves := rotated(old, new)
		e := event(int64(c.at))
		e.Description = "forged"
		leaves[c.at] = c.by.leaf(e)
		for _, key := range []string{old.vkey, new.vkey} {
			r, err := Verify(source(leaves), new.checkpoint(t, rotated(old, new)), key)
			if err != nil || r.FirstBad != int64(c.at) {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			// Behind the checkpoint signatures are all there is.
			r, err = Verify(source(leaves), new.checkpoint(t, leaves[:22]), key)
			if c.at > 22 && (err != nil || r.FirstBad != int64(c.at)) {
				t.Errorf("%s, not covered: %+v, %v", name, r, err)
			}
		}
	}
}

// A stolen key that was retired must not vouch for another history.
func TestARetiredKeySignsNoCheckpoint(t *testing.T) {
	old, new := newInstallation(t, 1), newInstallation(t, 2)
	leaves := rotated(old, new)
	for _, key := range []string{old.vkey, new.vkey} {
		if _, err := Verify(source(leaves), old.checkpoint(t, leaves), key); err == nil || !strings.Contains(gatehouse.Public(err), "not signed") {
			t.Errorf("got %v", err)
		}
	}
}

// Anybody can write a link; only the key before can sign it, and naming a
// trusted key as successor proves nothing.
func TestAForgedLinkLeadsNowhere(t *testing.T) {
	mine, evil := newInstallation(t, 1), newInstallation(t, 2)
	s := gatehouse.Succeed(mine.key, evil.key)
	s.Signature = ed25519.Sign(evil.key, []byte("not it"))
	for name, link := range map[string]gatehouse.Succession{"unsigned": s, "into the trusted key": gatehouse.Succeed(evil.key, mine.key)} {
		leaves := mine.log(10)
		leaves = append(leaves, evil.leaf(linkEvent(10, ActionSucceeded, link)), evil.leaf(event(11)))
		r, err := Verify(source(leaves), mine.checkpoint(t, leaves[:10]), mine.vkey)
		if err != nil || r.FirstBad != 10 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if _, err := Verify(source(leaves), evil.checkpoint(t, leaves), mine.vkey); err == nil {
			t.Errorf("%s: a checkpoint of the forger was taken", name)
		}
	}
}
