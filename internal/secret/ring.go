package secret

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"slices"
	"sync"

	"github.com/tink-crypto/tink-go/v2/tink"

	"gatehouse"
)

// ring is every generation of every secret. It is immutable: a rotation makes
// another, so that one operation never sees half of one.
//
// In each list the first is written with; the others only open.
type ring struct {
	seal         aeads
	sealPrefix   []byte // how what is sealed today begins
	page         aeads
	replay       [][]byte // salts of the keys made from callers' tokens
	macs         []*macKey
	anchor       *macKey // the same for ever
	signing      []ed25519.PrivateKey
	next         int                    // index in signing of the key that nobody signs with yet, 0 for none
	chain        []gatehouse.Succession // of signing keys, oldest first
	fingerprints map[string]string      // of what is written with
	held         []string               // of every generation, in order
}

// generations are the contents of one secret's files: what is written with
// first, then what comes next, then earlier ones from the newest on.
type generations [][]byte

// newRing derives every key from the contents of the files, by file name.
func newRing(files map[string]generations, chain []gatehouse.Succession) (*ring, error) {
	r := &ring{fingerprints: make(map[string]string, len(files)), chain: chain}
	for _, name := range fileNames() {
		r.fingerprints[name] = fingerprint(name, files[name][0])
		for _, g := range files[name] {
			r.held = append(r.held, fingerprint(name, g))
		}
		r.held = append(r.held, "")
	}
	return r, errors.Join(r.sealing(files[masterFile]), r.paging(files[pageFile]), r.macing(files[macFile]), r.signers(files[signingFile]))
}

func (r *ring) sealing(g generations) error {
	for i, secret := range g {
		a, prefix, err := newAEAD(secret, "seal")
		if err != nil {
			return err
		}
		salt, err := derive(secret, "replay")
		if err != nil {
			return err
		}
		if i == 0 {
			r.sealPrefix = prefix
		}
		r.seal, r.replay = append(r.seal, a), append(r.replay, salt)
	}
	return nil
}

func (r *ring) paging(g generations) error {
	for _, secret := range g {
		a, _, err := newAEAD(secret, "page")
		if err != nil {
			return err
		}
		r.page = append(r.page, a)
	}
	return nil
}

func (r *ring) macing(g generations) error {
	for _, secret := range g {
		key, err := derive(secret, "mac")
		if err != nil {
			return err
		}
		r.macs = append(r.macs, newMACKey(key))
	}
	// Before the first rotation; after it the file of its own takes its place.
	key, err := derive(g[0], "anchor")
	r.anchor = newMACKey(key)
	return err
}

// signers leaves out what the chain says is retired: its file may still lie
// there when a retirement was cut short.
func (r *ring) signers(g generations) error {
	for i, secret := range g {
		key, err := signer(secret)
		if err != nil {
			return err
		}
		if i == 1 && linkedTo(r.chain, r.signing[0], key) {
			r.next = 1
		}
		if i == 0 || !retired(r.chain, public(key)) {
			r.signing = append(r.signing, key)
		}
	}
	return nil
}

// same reports whether two rings hold the same generations in the same order.
func (r *ring) same(o *ring) bool {
	return slices.Equal(r.held, o.held) && slices.EqualFunc(r.chain, o.chain, gatehouse.Succession.Equal)
}

// linkedTo reports whether a key succeeds another: then it is not earlier but
// comes next.
func linkedTo(chain []gatehouse.Succession, active, key ed25519.PrivateKey) bool {
	return slices.ContainsFunc(chain, func(s gatehouse.Succession) bool { return s.Old.Equal(public(active)) && s.New.Equal(public(key)) })
}

// signer makes the signing key of a file's content.
func signer(secret []byte) (ed25519.PrivateKey, error) {
	seed, err := derive(secret, "sign")
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// retired reports whether a chain says that a key is out of use.
func retired(chain []gatehouse.Succession, key ed25519.PublicKey) bool {
	return slices.ContainsFunc(chain, func(s gatehouse.Succession) bool { return s.Old.Equal(key) && s.Ended() })
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// aeads try one generation after the other. A value names its own, so the ones
// that it is not of refuse it before they decrypt.
type aeads []tink.AEAD

func (a aeads) open(sealed, where []byte) (plain []byte, err error) {
	for _, one := range a {
		if plain, err = one.Decrypt(sealed, where); err == nil {
			return plain, nil
		}
	}
	return nil, err
}

// macKey is one generation of the MAC key.
type macKey struct{ states sync.Pool }

// macState is what one MAC needs; pooled, because keying an HMAC costs two
// blocks and an allocation, and every row that is read needs one.
type macState struct {
	h     hash.Hash
	frame []byte
}

func newMACKey(key []byte) *macKey {
	m := &macKey{}
	m.states.New = func() any { return &macState{h: hmac.New(sha256.New, key)} }
	return m
}

func (k *macKey) sum(where string, data []byte) []byte {
	m := k.states.Get().(*macState)
	m.h.Reset()
	m.frame = binary.BigEndian.AppendUint64(m.frame[:0], uint64(len(where)))
	m.frame = append(m.frame, where...)
	m.h.Write(m.frame)
	m.h.Write(data)
	out := m.h.Sum(nil)
	k.states.Put(m)
	return out
}
