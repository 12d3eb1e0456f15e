package storetest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"

	"gatehouse/internal/audit"
	"gatehouse/internal/store"
)

// Guard is a store.Guard of fixed secrets, for tests alone.
type Guard struct {
	aead    cipher.AEAD
	mac     [32]byte
	signing ed25519.PrivateKey
}

var _ store.Guard = (*Guard)(nil)

// NewGuard makes a guard; equal seeds make equal guards.
func NewGuard(seed string) *Guard {
	key := sha256.Sum256([]byte("seal" + seed))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	sign := sha256.Sum256([]byte("sign" + seed))
	return &Guard{aead: aead, mac: sha256.Sum256([]byte("mac" + seed)), signing: ed25519.NewKeyFromSeed(sign[:])}
}

// Public is the key that leaves' signatures verify under.
func (g *Guard) Public() ed25519.PublicKey { return g.signing.Public().(ed25519.PublicKey) }

// Seal implements [store.Guard].
func (g *Guard) Seal(where string, plain []byte) ([]byte, error) {
	nonce := make([]byte, g.aead.NonceSize())
	rand.Read(nonce)
	return g.aead.Seal(nonce, nonce, plain, []byte(where)), nil
}

// Open implements [store.Guard].
func (g *Guard) Open(where string, sealed []byte) ([]byte, error) {
	n := min(g.aead.NonceSize(), len(sealed))
	return g.aead.Open(nil, sealed[:n], sealed[n:], []byte(where))
}

// Current implements [store.Guard]: there is one generation.
func (g *Guard) Current([]byte) bool { return true }

// CheckMAC implements [store.Guard].
func (g *Guard) CheckMAC(where string, data, mac []byte) (ok, current bool) {
	ok = hmac.Equal(mac, g.MAC(where, data))
	return ok, ok
}

// MAC implements [store.Guard].
func (g *Guard) MAC(where string, data []byte) []byte {
	h := hmac.New(sha256.New, g.mac[:])
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(where))))
	h.Write([]byte(where))
	h.Write(data)
	return h.Sum(nil)
}

// SignLeaf implements [store.Guard].
func (g *Guard) SignLeaf(index int64, leafHash [32]byte) []byte {
	return ed25519.Sign(g.signing, audit.LeafMessage(index, leafHash))
}

// VerifyLeaf implements [store.Guard].
func (g *Guard) VerifyLeaf(index int64, leafHash [32]byte, signature []byte) bool {
	return ed25519.Verify(g.Public(), audit.LeafMessage(index, leafHash), signature)
}

// Commit implements [store.Guard].
func (g *Guard) Commit(salt []byte, value string) []byte { return audit.Commit(salt, value) }
