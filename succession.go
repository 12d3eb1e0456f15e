package gatehouse

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"slices"
	"strings"
)

const (
	successionDomain = "gatehouse signing succession\n"
	retirementDomain = "gatehouse signing retirement\n"
)

// Succession says that a signing key has a successor: signed by the old key,
// so that whoever trusts the old one may trust the new one too. Once the old
// key is out of use the new one signs that as well. A succession is public. The
// chain of them from an installation's first key on stands in the audit log, so
// that who verifies it with the first key can follow.
type Succession struct {
	Old, New  ed25519.PublicKey
	Signature []byte // by Old
	Retired   []byte // by New, over the end of Old; empty until then
}

// Succeed makes the link from a signing key to the next.
func Succeed(old, new ed25519.PrivateKey) Succession {
	s := Succession{Old: old.Public().(ed25519.PublicKey), New: new.Public().(ed25519.PublicKey)}
	s.Signature = ed25519.Sign(old, s.message(successionDomain))
	return s
}

// Retire says, by the new key of a link, that the old one is out of use.
func (s Succession) Retire(new ed25519.PrivateKey) Succession {
	s.Retired = ed25519.Sign(new, s.message(retirementDomain))
	return s
}

func (s Succession) message(domain string) []byte {
	return slices.Concat([]byte(domain), s.Old, s.New)
}

// Valid reports whether the old key signed the link.
func (s Succession) Valid() bool {
	return len(s.Old) == ed25519.PublicKeySize && len(s.New) == ed25519.PublicKeySize && !s.Old.Equal(s.New) &&
		ed25519.Verify(s.Old, s.message(successionDomain), s.Signature)
}

// Ended reports whether the new key signed the end of the old one.
func (s Succession) Ended() bool {
	return s.Valid() && len(s.Retired) > 0 && ed25519.Verify(s.New, s.message(retirementDomain), s.Retired)
}

// Equal reports whether two links are the same, retirement included.
func (s Succession) Equal(o Succession) bool {
	return s.Old.Equal(o.Old) && s.New.Equal(o.New) && bytes.Equal(s.Signature, o.Signature) && bytes.Equal(s.Retired, o.Retired)
}

// String is one line of a chain: base64 of both keys, the signature and, when
// there is one, the retirement.
func (s Succession) String() string {
	enc := base64.StdEncoding.EncodeToString
	out := enc(s.Old) + " " + enc(s.New) + " " + enc(s.Signature)
	if len(s.Retired) > 0 {
		out += " " + enc(s.Retired)
	}
	return out
}

// ParseSuccession inverts String and refuses a link whose signatures do not verify.
func ParseSuccession(line string) (Succession, error) {
	fields := strings.Fields(line)
	bad := Errorf(InvalidArgument, "not a succession of signing keys")
	if len(fields) != 3 && len(fields) != 4 {
		return Succession{}, bad
	}
	var parts [4][]byte
	for i, f := range fields {
		var err error
		if parts[i], err = base64.StdEncoding.Strict().DecodeString(f); err != nil {
			return Succession{}, bad
		}
	}
	s := Succession{Old: parts[0], New: parts[1], Signature: parts[2], Retired: parts[3]}
	if !s.Valid() || len(s.Retired) > 0 && !s.Ended() {
		return Succession{}, bad
	}
	return s, nil
}
