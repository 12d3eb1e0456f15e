package audit

import (
	"bytes"
	"crypto/ed25519"
	"slices"

	"gatehouse"
)

// The actions of a rotation of the signing key. Their detail "link" is the
// [gatehouse.Succession], so that the log itself tells which keys may have
// signed a leaf: from the first event on the new key as well, from the second
// on the old one no more. In between both do, on control nodes that differ.
const (
	ActionSucceeded = "signing_key.succeeded"
	ActionRetired   = "signing_key.retired"
	detailLink      = "link"
)

// LinkDetails are the details of an act about a succession.
func LinkDetails(s gatehouse.Succession) map[string]string {
	return map[string]string{detailLink: s.String()}
}

// LinkOf is the succession that an event tells of.
func LinkOf(e gatehouse.Event) (s gatehouse.Succession, ok bool) {
	if e.Kind != gatehouse.KindInstallation || e.Result != gatehouse.Done || e.Action != ActionSucceeded && e.Action != ActionRetired {
		return s, false
	}
	s, err := gatehouse.ParseSuccession(e.Details[detailLink])
	return s, err == nil && s.Ended() == (e.Action == ActionRetired)
}

// linkAction is in the body of every event about a signing key, and in few
// others: quotes inside strings are escaped.
var linkAction = []byte(`"action":"signing_key.`)

func linkIn(body []byte) (gatehouse.Succession, bool) {
	if !bytes.Contains(body, linkAction) {
		return gatehouse.Succession{}, false
	}
	e, err := Decode(body, nil)
	if err != nil {
		return gatehouse.Succession{}, false
	}
	return LinkOf(e)
}

// keyring is which keys are in force at a place in the log. It is replaced and
// never changed: signatures that wait to be checked hold on to theirs.
type keyring []ed25519.PublicKey

func (k keyring) trusts(key ed25519.PublicKey) bool {
	return slices.ContainsFunc(k, func(have ed25519.PublicKey) bool { return have.Equal(key) })
}

func (k keyring) verifies(msg, sig []byte) bool {
	return slices.ContainsFunc(k, func(key ed25519.PublicKey) bool { return ed25519.Verify(key, msg, sig) })
}

func (k keyring) plus(key ed25519.PublicKey) keyring { return append(slices.Clone(k), key) }

// admits is the ring that judges the leaf of a link itself. A trusted old key
// vouches for the new one by the link, so the leaf may be signed by either. The
// reverse is no proof: anybody can name a key as their successor.
func (k keyring) admits(s gatehouse.Succession) keyring {
	if k.trusts(s.Old) && !k.trusts(s.New) {
		return k.plus(s.New)
	}
	return k
}

// onward is the ring behind the leaf of a link, by what trusted keys signed.
func (k keyring) onward(s gatehouse.Succession) keyring {
	if k = k.admits(s); k.trusts(s.New) && s.Ended() {
		return slices.DeleteFunc(slices.Clone(k), func(key ed25519.PublicKey) bool { return key.Equal(s.Old) })
	}
	return k
}

// after is onward for judging leaves: who was given a later key, which signed
// the leaf of the link, finds the one before on leaves behind it too. It is not
// enough for a checkpoint, which must not rest on leaves that only it proves.
func (k keyring) after(s gatehouse.Succession) keyring {
	if k = k.onward(s); k.trusts(s.New) && !k.trusts(s.Old) && !s.Ended() {
		return k.plus(s.Old)
	}
	return k
}

// first follows links back from a key to the one that the log began with.
func first(key ed25519.PublicKey, links []gatehouse.Succession) ed25519.PublicKey {
	for _, s := range slices.Backward(links) {
		if s.New.Equal(key) {
			key = s.Old
		}
	}
	return key
}
