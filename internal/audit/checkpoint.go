package audit

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/mod/sumdb/note"

	"gatehouse"
)

// Head is what a checkpoint says: the log of this origin had this root at
// this size.
type Head struct {
	Origin string
	Size   int64
	Root   [32]byte
}

// Checkpoint signs a head of the log: a C2SP checkpoint in a signed note. The
// origin is a name without spaces, by custom the signer's.
func Checkpoint(origin string, size int64, root [32]byte, signer note.Signer) ([]byte, error) {
	if !validOrigin(origin) || size < 0 {
		return nil, gatehouse.Errorf(gatehouse.Internal, "not the origin and size of a log: %q, %d", origin, size)
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]))
	msg, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Internal, "the checkpoint could not be signed").Because(err)
	}
	return msg, nil
}

// ParseCheckpoint verifies a checkpoint and reads it. Extension lines after
// the root and signatures of others, such as witnesses, are allowed.
func ParseCheckpoint(msg []byte, verifier note.Verifier) (Head, error) {
	n, err := note.Open(msg, note.VerifierList(verifier))
	if err != nil {
		return Head{}, badCheckpoint("it is not signed by " + verifier.Name()).Because(err)
	}
	return readHead(n.Text)
}

// readCheckpoint reads a checkpoint without judging who signed it.
func readCheckpoint(msg []byte) (Head, error) {
	text, _, found := strings.Cut(string(msg), "\n\n")
	if !found {
		return Head{}, badCheckpoint("it is not a signed note")
	}
	return readHead(text + "\n")
}

func readHead(text string) (Head, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || !validOrigin(lines[0]) {
		return Head{}, badCheckpoint("it lacks origin, size or root")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Head{}, badCheckpoint("its size is not a number")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != 32 {
		return Head{}, badCheckpoint("its root is not a hash")
	}
	return Head{Origin: lines[0], Size: size, Root: [32]byte(root)}, nil
}

func badCheckpoint(why string) *gatehouse.Error {
	return gatehouse.Errorf(gatehouse.InvalidArgument, "the checkpoint is no good: %s", why)
}

// validOrigin keeps spaces out. The signing key signs other things too, and
// those begin with words and a space: so no checkpoint is ever one of them.
func validOrigin(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == '+' || r == unicode.ReplacementChar
	}) < 0
}

// verifierOf makes a verifier of a plain key.
func verifierOf(name string, key ed25519.PublicKey) (note.Verifier, error) {
	text, err := note.NewEd25519VerifierKey(name, key)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(text)
}

// parseVerifierKey reads the name+hash+key form of a note verifier, and the
// plain key out of it: leaves are signed with the same.
func parseVerifierKey(text string) (note.Verifier, ed25519.PublicKey, error) {
	text = strings.TrimSpace(text)
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, nil, gatehouse.Errorf(gatehouse.InvalidArgument, "not a verifier key: want NAME+HASH+KEY").Because(err)
	}
	// NewVerifier has checked the parts: the last is an algorithm byte and the
	// key. It may itself contain a plus, so it is what follows the second.
	key, err := base64.StdEncoding.DecodeString(strings.SplitN(text, "+", 3)[2])
	if err != nil || len(key) != 1+ed25519.PublicKeySize {
		return nil, nil, gatehouse.Errorf(gatehouse.InvalidArgument, "not a verifier key: the key is not Ed25519")
	}
	return v, ed25519.PublicKey(key[1:]), nil
}
