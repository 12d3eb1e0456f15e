package secret

import (
	"crypto/ed25519"
	"encoding/binary"

	"golang.org/x/mod/sumdb/note"
)

// What is signed starts with what it is, so that a signature over one kind of
// thing is never one over another. Checkpoints start with their origin, which
// package audit keeps free of spaces: it is neither of these.
const (
	leafDomain  = "gatehouse audit leaf\n"
	batchDomain = "gatehouse feed batch\n"
)

// Public verifies what this installation signs.
func (k *Keys) Public() ed25519.PublicKey {
	return k.signing.Public().(ed25519.PublicKey)
}

// SignLeaf signs the hash of an audit leaf at its index. With it the verifier
// can say which leaf was altered first, and not merely that one was. Package
// audit verifies it; both pin the message with the same vector.
func (k *Keys) SignLeaf(index int64, leafHash [32]byte) []byte {
	msg := make([]byte, 0, len(leafDomain)+8+len(leafHash))
	msg = append(msg, leafDomain...)
	msg = binary.BigEndian.AppendUint64(msg, uint64(index))
	return ed25519.Sign(k.signing, append(msg, leafHash[:]...))
}

// SignBatch signs a batch of the feed.
func (k *Keys) SignBatch(msg []byte) []byte {
	return ed25519.Sign(k.signing, append([]byte(batchDomain), msg...))
}

// VerifyBatch checks a signature by SignBatch against the public key of the
// installation that a gateway was joined to.
func VerifyBatch(pub ed25519.PublicKey, msg, sig []byte) bool {
	// ed25519.Verify panics on a key of another length.
	return len(pub) == ed25519.PublicKeySize && ed25519.Verify(pub, append([]byte(batchDomain), msg...), sig)
}

// VerifierKey is the text that checks this installation's checkpoints and
// audit leaves, in the form of golang.org/x/mod/sumdb/note: name+hash+key. It
// is public; keep it where who can write the database cannot change it.
func (k *Keys) VerifierKey(name string) (string, error) {
	return note.NewEd25519VerifierKey(name, k.Public())
}

// NoteSigner signs checkpoints under a name, the log's origin.
func (k *Keys) NoteSigner(name string) (note.Signer, error) {
	text, err := k.VerifierKey(name)
	if err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, err
	}
	return noteSigner{keys: k, name: name, hash: v.KeyHash()}, nil
}

// noteSigner keeps the private key inside Keys; note.NewSigner would want it
// as a printable string.
type noteSigner struct {
	keys *Keys
	name string
	hash uint32
}

func (s noteSigner) Name() string    { return s.name }
func (s noteSigner) KeyHash() uint32 { return s.hash }

func (s noteSigner) Sign(msg []byte) ([]byte, error) {
	return ed25519.Sign(s.keys.signing, msg), nil
}
