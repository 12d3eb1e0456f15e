// Package secret holds the installation's secrets: files in one directory,
// made at the first start, never in the database and never in its backups.
// Whoever steals the database alone can open nothing in it, and whoever can
// write to it cannot make a row that is served.
//
//	master.key   seals digests of tokens and credentials of upstreams
//	mac.key      authenticates rows
//	signing.key  signs audit leaves, checkpoints and feed batches (Ed25519)
//	page.key     seals page tokens
//
// Each file is one line of base64 that decodes to at least 32 bytes. The bytes
// are never used as they are: HKDF derives from them one key per purpose, so
// that two uses of one file cannot be played against each other.
//
// A secret has generations while it is being rotated (see rotate.go). One is
// written with; the others beside it, NAME.next and NAME.1 and so on, only
// open what was written with them.
package secret

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"

	"gatehouse"
)

// Keys are the installation's secrets, ready for use. They are safe for
// concurrent use and cannot be printed: every formatting door redacts.
type Keys struct {
	dir  string
	ring atomic.Pointer[ring] // replaced whole by Reload
}

// derive is the one way from a file's bytes to a key.
func derive(secret []byte, purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, nil, "gatehouse "+purpose+" v1", sha256.Size)
}

// fingerprint tells two secrets apart and gives nothing away, since what it
// hashes has at least 256 bits that nobody can guess.
func fingerprint(name string, secret []byte) string {
	sum := sha256.Sum256(append([]byte("gatehouse fingerprint\n"+name+"\n"), secret...))
	return hex.EncodeToString(sum[:8])
}

// newAEAD is AES-256-GCM in Tink's framing: a version byte and four bytes that
// name the key stand before the nonce, so that a later version can hold two
// keys and tell which one a value is sealed under.
// The prefix is those five bytes.
func newAEAD(secret []byte, purpose string) (a tink.AEAD, prefix []byte, err error) {
	raw, err := derive(secret, purpose)
	if err != nil {
		return nil, nil, err
	}
	params, err := aesgcm.NewParameters(aesgcm.ParametersOpts{
		KeySizeInBytes: 32, IVSizeInBytes: 12, TagSizeInBytes: 16, Variant: aesgcm.VariantTink,
	})
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(raw)
	// Tink does not take 0 for the name of a key.
	id := binary.BigEndian.Uint32(sum[:4]) | 1
	key, err := aesgcm.NewKey(secretdata.NewBytesFromData(raw, insecuresecretdataaccess.Token{}), id, params)
	if err != nil {
		return nil, nil, err
	}
	a, err = aesgcm.NewAEAD(key)
	return a, key.OutputPrefix(), err
}

// Fingerprints identifies each secret that is written with by its file's name.
// They tell one installation's secrets from another's, as in a backup.
func (k *Keys) Fingerprints() map[string]string { return maps.Clone(k.ring.Load().fingerprints) }

// Seal encrypts plain for one place. Only Open with the same where opens it.
func (k *Keys) Seal(where string, plain []byte) ([]byte, error) {
	return sealed(k.ring.Load().seal[0].Encrypt(plain, []byte(where)))
}

// Open inverts Seal. It fails with gatehouse.Internal when the value was
// altered, was sealed for another place, or under other secrets.
func (k *Keys) Open(where string, sealed []byte) ([]byte, error) {
	plain, err := k.ring.Load().seal.open(sealed, []byte(where))
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Internal, "a sealed value does not open in its place").Because(err)
	}
	return plain, nil
}

// Current reports whether a sealed value names the generation that Seal writes
// with. It proves nothing about the value.
func (k *Keys) Current(sealed []byte) bool { return bytes.HasPrefix(sealed, k.ring.Load().sealPrefix) }

// SealPage makes a page token that only this installation can read and that is
// good only for where: the list, its team and its filter.
func (k *Keys) SealPage(where string, plain []byte) (string, error) {
	b, err := sealed(k.ring.Load().page[0].Encrypt(plain, []byte(where)))
	return base64.RawURLEncoding.EncodeToString(b), err
}

// OpenPage inverts SealPage. It is InvalidArgument for a token that was
// altered or belongs to another list; it does not say which.
func (k *Keys) OpenPage(where, token string) ([]byte, error) {
	// Strict: without it the last character has spare bits, and one token has
	// several spellings.
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err == nil {
		b, err = k.ring.Load().page.open(b, []byte(where))
	}
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "the page token is not one of this list").Because(err)
	}
	return b, nil
}

// SealUnder encrypts a reply that holds a secret so that it can be replayed to
// the caller that got it, under the same idempotency key, and to nobody else:
// the key is made from the token itself, which the installation does not keep.
func (k *Keys) SealUnder(token gatehouse.Token, key string, plain []byte) ([]byte, error) {
	a, err := under(token, key, k.ring.Load().replay[0])
	if err != nil {
		return nil, err
	}
	return sealed(a.Encrypt(plain, nil))
}

// OpenUnder inverts SealUnder.
func (k *Keys) OpenUnder(token gatehouse.Token, key string, sealed []byte) ([]byte, error) {
	var problem error
	for _, salt := range k.ring.Load().replay {
		a, err := under(token, key, salt)
		if err != nil {
			return nil, err
		}
		plain, err := a.Decrypt(sealed, nil)
		if err == nil {
			return plain, nil
		}
		problem = err
	}
	return nil, gatehouse.Errorf(gatehouse.Internal, "a kept reply does not open for this caller").Because(problem)
}

// under needs both the caller's token and the installation's secret: a thief
// of the database who also found an old token opens nothing.
func under(token gatehouse.Token, key string, salt []byte) (tink.AEAD, error) {
	ikm, err := token.Derive("gatehouse replay v1")
	if err != nil {
		return nil, err
	}
	// The two parts have fixed length, so their concatenation is unambiguous.
	a, _, err := newAEAD(append(ikm, salt...), "replay "+key)
	return a, err
}

// MAC authenticates data in its place: 32 bytes. The length of where is part
// of what is authenticated; without it the border between the two could move.
func (k *Keys) MAC(where string, data []byte) []byte { return k.ring.Load().macs[0].sum(where, data) }

// Anchor is 32 bytes for data in its place that no rotation changes. It is for
// ids that must be found again, not for proving anything.
func (k *Keys) Anchor(where string, data []byte) []byte { return k.ring.Load().anchor.sum(where, data) }

// CheckMAC reports whether mac is what MAC made of data in its place, under
// any generation, and whether it is the one that MAC makes today.
func (k *Keys) CheckMAC(where string, data, mac []byte) (ok, current bool) {
	for i, m := range k.ring.Load().macs {
		if hmac.Equal(mac, m.sum(where, data)) {
			return true, i == 0
		}
	}
	return false, false
}

// Commit is a commitment to a personal value: it shows nothing of the value
// once the salt is erased, and nobody can find another value for it. It needs
// no secret, so that an auditor can check it. Package audit has the same
// formula, and both pin it with the same vector.
func (k *Keys) Commit(salt []byte, value string) []byte {
	b := make([]byte, 0, 64)
	b = append(b, "gatehouse commitment\n"...)
	b = append(b, salt...)
	b = append(b, value...)
	sum := sha256.Sum256(b)
	return sum[:]
}

// sealed classifies what a cipher can fail with: a plaintext beyond its bounds.
func sealed(b []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Internal, "a value could not be sealed").Because(err)
	}
	return b, nil
}

const redacted = "[installation secrets]"

// String redacts.
func (k *Keys) String() string { return redacted }

// GoString redacts.
func (k *Keys) GoString() string { return redacted }

// Format redacts for every verb; without it %d would walk into the fields.
func (k *Keys) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue redacts.
func (k *Keys) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts, and with it JSON.
func (k *Keys) MarshalText() ([]byte, error) { return []byte(redacted), nil }
