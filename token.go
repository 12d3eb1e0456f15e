package gatehouse

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash/crc32"
	"log/slog"
	"math/big"
	"strings"
)

// Plane says which of the two planes a credential is for. The letter is the
// last of the token's prefix, so the plane is known before any look-up.
type Plane byte

// The planes.
const (
	Inference  Plane = 'k' // gthk_: the gateway
	Management Plane = 'm' // gthm_: the management API
	Join       Plane = 'j' // gthj_: makes a process a gateway of a cluster, a limited number of times
	Invite     Plane = 'i' // gthi_: accepts an invitation, once
	Link       Plane = 'l' // gthl_: in the public URL of a file; its id is the file's
	Member     Plane = 'n' // gthn_: what a gateway that has joined shows to control; it never leaves the two
)

// Lengths in characters of the parts of a token, and the alphabet they are
// written in (contract.md "Keys"; reliability.md §6.1 says why).
const (
	publicLen   = 22 // 128 bits
	secretLen   = 43 // 256 bits
	checksumLen = 6  // CRC-32 (IEEE) of everything before it
	alphabet    = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

	// MaxBrand bounds the configurable part of the prefix.
	MaxBrand = 12
	// DefaultBrand makes the prefixes gthk_ and gthm_.
	DefaultBrand = "gth"
)

// Token is a credential in the clear. It cannot be printed, logged, compared
// or marshalled: every door but Reveal yields a redaction. The zero Token is
// no credential.
type Token struct {
	_      [0]func() // not comparable
	secret string
	plane  Plane
	id     ID
}

// Digest is the SHA-256 of a whole token: what the replica looks up and what
// the database holds, sealed.
type Digest [sha256.Size]byte

// DigestOf hashes a credential as presented. Keys imported from elsewhere
// enter as digests of their own whole text.
func DigestOf(presented string) Digest { return sha256.Sum256([]byte(presented)) }

// Equal compares in constant time.
func (d Digest) Equal(o Digest) bool { return subtle.ConstantTimeCompare(d[:], o[:]) == 1 }

// MarshalText writes lower-case hex.
func (d Digest) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(d[:])), nil }

// UnmarshalText reads hex of either case.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(d)) {
		return Errorf(InvalidArgument, "not a SHA-256 digest")
	}
	if _, err := hex.Decode(d[:], b); err != nil {
		return Errorf(InvalidArgument, "not a SHA-256 digest")
	}
	return nil
}

// MintToken makes a fresh secret for the key named id. Both secrets of a
// rotation carry the same id.
func MintToken(brand string, plane Plane, id ID) Token {
	var raw [32]byte
	rand.Read(raw[:])
	return TokenOf(brand, plane, id, raw)
}

// TokenOf is the token of a secret that its maker can make again: of a key that
// Gatehouse itself uses, which is stored nowhere. 32 bytes of the secret are
// the whole of its strength.
func TokenOf(brand string, plane Plane, id ID, raw [32]byte) Token {
	body := prefix(brand, plane) + base62(id[:], publicLen) + base62(raw[:], secretLen)
	return Token{secret: body + checksum(body), plane: plane, id: id}
}

// ParseToken checks shape, alphabet and checksum, in that order, with no
// allocation before a token has passed them. The error is Unauthenticated and
// never quotes the input.
func ParseToken(brand, s string) (Token, error) {
	bad := func(why string) (Token, error) { return Token{}, Errorf(Unauthenticated, "malformed key: %s", why) }
	n := len(brand) + 2
	if len(s) != n+publicLen+secretLen+checksumLen {
		return bad("length")
	}
	plane := Plane(s[n-2])
	if s[:len(brand)] != brand || s[n-1] != '_' || !plane.valid() {
		return bad("prefix")
	}
	for i := n; i < len(s); i++ {
		if digit(s[i]) < 0 {
			return bad("alphabet")
		}
	}
	body := s[:len(s)-checksumLen]
	if checksum(body) != s[len(body):] {
		return bad("checksum")
	}
	id, ok := unbase62(s[n : n+publicLen])
	if !ok {
		return bad("id")
	}
	return Token{secret: s, plane: plane, id: id}, nil
}

// ID is the public id of the key that t belongs to.
func (t Token) ID() ID { return t.id }

// Plane is the plane that t is for.
func (t Token) Plane() Plane { return t.plane }

// IsZero reports whether there is no token.
func (t Token) IsZero() bool { return t.secret == "" }

// Digest is what identifies t everywhere behind the edge.
func (t Token) Digest() Digest { return DigestOf(t.secret) }

// Reveal returns the credential itself. Its callers are the reply that shows a
// new key once, the same reply sealed under its receiver's token for a replay,
// the bootstrap file, and on the other side client, which sends its own key,
// and the command that prints a new one.
func (t Token) Reveal() string { return t.secret }

// Derive is a 32-byte key that only who holds the credential can make again:
// the digest, which is all that is stored, does not suffice. Purpose keeps keys
// for different uses apart. It fails for the zero Token, whose key everybody has.
func (t Token) Derive(purpose string) ([]byte, error) {
	if t.IsZero() {
		return nil, Errorf(Unauthenticated, "no key to derive from")
	}
	return hkdf.Key(sha256.New, []byte(t.secret), nil, purpose, sha256.Size)
}

// Last4 is the end of the token. It is part of the checksum and so gives
// away nothing of the secret.
func (t Token) Last4() string {
	if t.IsZero() {
		return ""
	}
	return t.secret[len(t.secret)-4:]
}

// Redact is how a key is shown: prefix, three ASCII dots, the last four.
func Redact(brand string, plane Plane, last4 string) string {
	return prefix(brand, plane) + "..." + last4
}

const redacted = "[redacted]"

// String redacts.
func (t Token) String() string { return redacted }

// GoString redacts.
func (t Token) GoString() string { return redacted }

// LogValue redacts.
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts, and with it JSON.
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func (p Plane) valid() bool {
	return p == Inference || p == Management || p == Join || p == Member || p == Invite || p == Link
}

func prefix(brand string, plane Plane) string { return brand + string(plane) + "_" }

// ValidBrand says whether s can stand before the plane letter. "xai-" cannot:
// scanners would report our keys to xAI, where nobody could revoke them.
func ValidBrand(s string) bool {
	if s == "" || len(s) > MaxBrand {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r < 'a' || r > 'z' }) < 0
}

func checksum(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	var out [checksumLen]byte
	for i := checksumLen - 1; i >= 0; i-- {
		out[i] = alphabet[sum%62]
		sum /= 62
	}
	return string(out[:])
}

func base62(b []byte, width int) string {
	n := new(big.Int).SetBytes(b)
	base, rem := big.NewInt(62), new(big.Int)
	out := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, base, rem)
		out[i] = alphabet[rem.Int64()]
	}
	return string(out)
}

// unbase62 inverts base62 for an ID; a value over 128 bits is not one.
func unbase62(s string) (ID, bool) {
	var hi, lo uint64
	for i := range len(s) {
		// 62·(hi,lo) + digit in 128 bits, refusing a carry out of the top.
		d := uint64(digit(s[i]))
		l0 := (lo&0xffffffff)*62 + d
		l1 := (lo>>32)*62 + l0>>32
		h0 := (hi&0xffffffff)*62 + l1>>32
		h1 := (hi>>32)*62 + h0>>32
		if h1>>32 != 0 {
			return ID{}, false
		}
		lo, hi = l1<<32|l0&0xffffffff, h1<<32|h0&0xffffffff
	}
	var id ID
	for i := range 8 {
		id[i], id[8+i] = byte(hi>>(56-8*i)), byte(lo>>(56-8*i))
	}
	return id, true
}

func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 36
	}
	return -1
}
