package secret

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"gatehouse"
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
	return public(k.ring.Load().signing[0])
}

// SignLeaf signs the hash of an audit leaf at its index. With it the verifier
// can say which leaf was altered first, and not merely that one was. Package
// audit verifies it; both pin the message with the same vector.
func (k *Keys) SignLeaf(index int64, leafHash [32]byte) []byte {
	return ed25519.Sign(k.ring.Load().signing[0], leafMessage(index, leafHash))
}

// VerifyLeaf checks a signature by SignLeaf, under every key that this
// installation ever signed with: which one was in force is for package audit.
func (k *Keys) VerifyLeaf(index int64, leafHash [32]byte, sig []byte) bool {
	msg := leafMessage(index, leafHash)
	return slices.ContainsFunc(k.known(), func(key ed25519.PublicKey) bool { return ed25519.Verify(key, msg, sig) })
}

func leafMessage(index int64, leafHash [32]byte) []byte {
	msg := make([]byte, 0, len(leafDomain)+8+len(leafHash))
	msg = append(msg, leafDomain...)
	msg = binary.BigEndian.AppendUint64(msg, uint64(index))
	return append(msg, leafHash[:]...)
}

// Accepted are the public keys of all generations that are held, the one that
// signs first.
func (k *Keys) Accepted() []ed25519.PublicKey {
	held := k.ring.Load().signing
	out := make([]ed25519.PublicKey, len(held))
	for i, key := range held {
		out[i] = public(key)
	}
	return out
}

// known are the accepted keys and the retired ones of the chain.
func (k *Keys) known() []ed25519.PublicKey {
	out := k.Accepted()
	for _, s := range k.ring.Load().chain {
		if s.Ended() {
			out = append(out, s.Old)
		}
	}
	return out
}

// PublicKeys are Accepted as gateways are told them: what batches may be signed
// by from now on.
func (k *Keys) PublicKeys() [][]byte {
	var out [][]byte
	for _, key := range k.Accepted() {
		out = append(out, key)
	}
	return out
}

// Successions is the chain of signing keys, oldest first: empty until the
// signing key is first rotated.
func (k *Keys) Successions() []gatehouse.Succession { return slices.Clone(k.ring.Load().chain) }

// SignBatch signs a batch of the feed by every generation but the next: a
// gateway that knows only an earlier key still takes the batch, and learns from
// it which keys follow. The signatures stand one behind the other.
func (k *Keys) SignBatch(msg []byte) []byte {
	r := k.ring.Load()
	msg = append([]byte(batchDomain), msg...)
	var out []byte
	for i, key := range r.signing {
		if i == 0 || i != r.next {
			out = append(out, ed25519.Sign(key, msg)...)
		}
	}
	return out
}

// VerifyBatch checks a signature by SignBatch under any generation that is
// held. It is for the gateway in the same process.
func (k *Keys) VerifyBatch(msg, sig []byte) bool {
	return slices.ContainsFunc(k.Accepted(), func(key ed25519.PublicKey) bool { return VerifyBatch(key, msg, sig) })
}

// maxSignatures bounds what a batch can make a gateway compute.
const maxSignatures = 16

// VerifyBatch checks that one of a batch's signatures is by a public key of the
// installation that a gateway was joined to.
func VerifyBatch(pub ed25519.PublicKey, msg, sig []byte) bool {
	// ed25519.Verify panics on a key of another length.
	if len(pub) != ed25519.PublicKeySize || len(sig)%ed25519.SignatureSize != 0 || len(sig) > maxSignatures*ed25519.SignatureSize {
		return false
	}
	msg = append([]byte(batchDomain), msg...)
	for one := range slices.Chunk(sig, ed25519.SignatureSize) {
		if ed25519.Verify(pub, msg, one) {
			return true
		}
	}
	return false
}

// VerifierKey is the text that checks this installation's checkpoints and
// audit leaves, in the form of golang.org/x/mod/sumdb/note: name+hash+key. It
// is public; keep it where who can write the database cannot change it.
func (k *Keys) VerifierKey(name string) (string, error) {
	return note.NewEd25519VerifierKey(name, k.Public())
}

// Verifiers check checkpoints by every generation that is held, and by the
// retired ones: an old checkpoint in a restored backup is still ours.
func (k *Keys) Verifiers(name string) ([]note.Verifier, error) {
	var out []note.Verifier
	for _, key := range k.known() {
		text, err := note.NewEd25519VerifierKey(name, key)
		if err != nil {
			return nil, err
		}
		v, err := note.NewVerifier(text)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// NoteSigner signs checkpoints under a name, the log's origin, with the
// generation that signs now. Ask for it anew for every checkpoint: a rotation
// does not reach one that was handed out.
func (k *Keys) NoteSigner(name string) (note.Signer, error) {
	key := k.ring.Load().signing[0]
	text, err := note.NewEd25519VerifierKey(name, public(key))
	if err != nil {
		return nil, err
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, err
	}
	return noteSigner{key: key, name: name, hash: v.KeyHash()}, nil
}

// noteSigner keeps the private key unprintable; note.NewSigner would want it as
// a printable string.
type noteSigner struct {
	key  ed25519.PrivateKey
	name string
	hash uint32
}

func (s noteSigner) Name() string    { return s.name }
func (s noteSigner) KeyHash() uint32 { return s.hash }

func (s noteSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// Format redacts for every verb.
func (s noteSigner) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }
