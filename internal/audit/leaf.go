// Package audit is the log that can be verified without trusting whoever runs
// it. Every [gatehouse.Event] is one leaf of an RFC 6962 Merkle tree, written
// in the transaction of the act it tells of. A signed checkpoint kept elsewhere
// commits to every leaf before it; each leaf is signed as well, together with
// its index, so that [Verify] names the first one that is not as it was.
//
// Personal data is not in the leaf: the leaf holds a salted commitment, and
// salt and value stand beside it. Erasing a person erases those, and every
// proof still holds.
//
// What it does not prove: leaves removed from behind the newest checkpoint
// that was kept elsewhere are gone without a trace, so checkpoints are made
// every few seconds; and whoever has the signing key can sign another history,
// which only a checkpoint kept elsewhere contradicts.
package audit

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"iter"
)

// Leaf is one row of the log: store.Leaf, to which it converts. Body is the
// exact data of the Merkle leaf. Personal is what Body only commits to; nil
// when there was none or it was erased.
type Leaf struct {
	Index     int64
	Body      []byte
	Personal  []byte
	Signature []byte // Ed25519 over LeafMessage
}

// Source yields leaves in order of index from the first on. It must be good
// for ranging over twice: [Verify] goes again, slowly, when something is wrong.
// A leaf's slices may be reused after the yield.
type Source = iter.Seq2[Leaf, error]

// Each makes a Source of a reader that calls back, such as AuditView.Leaves.
func Each(read func(yield func(Leaf) error) error) Source {
	return func(yield func(Leaf, error) bool) {
		err := read(func(l Leaf) error {
			if !yield(l, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && err != error(errStop) {
			yield(Leaf{}, err)
		}
	}
}

// stop ends a callback that has seen enough.
type stop string

const errStop stop = "enough"

func (s stop) Error() string { return string(s) }

// leafDomain is what a signed leaf begins with. Package secret signs with the
// same; both pin the message with the same vector.
const leafDomain = "gatehouse audit leaf\n"

// leafMessageLen is the length of every LeafMessage.
const leafMessageLen = len(leafDomain) + 8 + sha256.Size

// LeafMessage is what a leaf's signature is over. The index is in it, so that
// a leaf is not good in another place.
func LeafMessage(index int64, leafHash [32]byte) []byte {
	return appendLeafMessage(make([]byte, 0, leafMessageLen), index, leafHash)
}

func appendLeafMessage(b []byte, index int64, leafHash [32]byte) []byte {
	b = append(b, leafDomain...)
	b = binary.BigEndian.AppendUint64(b, uint64(index))
	return append(b, leafHash[:]...)
}

// saltLen is fixed: the commitment concatenates salt and value, and only a
// salt of known length keeps the border between the two in its place.
const saltLen = 16

// Commit is the commitment to a personal value. It needs no secret, so that an
// auditor can check it; a salt of 128 random bits keeps the value from being
// guessed once the salt is erased. Domain, salt and an IP address fit one block.
func Commit(salt []byte, value string) []byte {
	var room [128]byte
	sum := sha256.Sum256(appendCommitted(room[:0], salt, value))
	return sum[:]
}

func appendCommitted(b, salt []byte, value string) []byte {
	b = append(b, "gatehouse commitment\n"...)
	b = append(b, salt...)
	return append(b, value...)
}

// Salt returns a fresh random salt for [Encode].
func Salt() []byte {
	salt := make([]byte, saltLen)
	rand.Read(salt)
	return salt
}
