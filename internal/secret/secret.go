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
package secret

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	"github.com/tink-crypto/tink-go/v2/tink"

	"gatehouse"
)

// Keys are the installation's secrets, ready for use. They are safe for
// concurrent use and cannot be printed: every formatting door redacts.
type Keys struct {
	seal         tink.AEAD
	page         tink.AEAD
	replay       []byte // salt of the keys made from callers' tokens
	signing      ed25519.PrivateKey
	macs         sync.Pool // of *macState
	fingerprints map[string]string
}

// macState is what one MAC needs; pooled, because keying an HMAC costs two
// blocks and an allocation, and every row that is read needs one.
type macState struct {
	h     hash.Hash
	frame []byte
}

// build derives every key from the contents of the files, by file name.
func build(raw map[string][]byte) (*Keys, error) {
	k := &Keys{fingerprints: make(map[string]string, len(raw))}
	for name, secret := range raw {
		k.fingerprints[name] = fingerprint(name, secret)
	}
	var err error
	if k.seal, err = newAEAD(raw[masterFile], "seal"); err != nil {
		return nil, err
	}
	if k.page, err = newAEAD(raw[pageFile], "page"); err != nil {
		return nil, err
	}
	if k.replay, err = derive(raw[masterFile], "replay"); err != nil {
		return nil, err
	}
	seed, err := derive(raw[signingFile], "sign")
	if err != nil {
		return nil, err
	}
	k.signing = ed25519.NewKeyFromSeed(seed)
	mac, err := derive(raw[macFile], "mac")
	if err != nil {
		return nil, err
	}
	k.macs.New = func() any { return &macState{h: hmac.New(sha256.New, mac)} }
	return k, nil
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
func newAEAD(secret []byte, purpose string) (tink.AEAD, error) {
	raw, err := derive(secret, purpose)
	if err != nil {
		return nil, err
	}
	params, err := aesgcm.NewParameters(aesgcm.ParametersOpts{
		KeySizeInBytes: 32, IVSizeInBytes: 12, TagSizeInBytes: 16, Variant: aesgcm.VariantTink,
	})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	// Tink does not take 0 for the name of a key.
	id := binary.BigEndian.Uint32(sum[:4]) | 1
	key, err := aesgcm.NewKey(secretdata.NewBytesFromData(raw, insecuresecretdataaccess.Token{}), id, params)
	if err != nil {
		return nil, err
	}
	return aesgcm.NewAEAD(key)
}

// Fingerprints identifies each secret by its file's name. They are kept in the
// database, so that a node with other secrets refuses to start instead of
// finding every row forged.
func (k *Keys) Fingerprints() map[string]string {
	out := make(map[string]string, len(k.fingerprints))
	for name, f := range k.fingerprints {
		out[name] = f
	}
	return out
}

// Seal encrypts plain for one place. Only Open with the same where opens it.
func (k *Keys) Seal(where string, plain []byte) ([]byte, error) {
	return sealed(k.seal.Encrypt(plain, []byte(where)))
}

// Open inverts Seal. It fails with gatehouse.Internal when the value was
// altered, was sealed for another place, or under other secrets.
func (k *Keys) Open(where string, sealed []byte) ([]byte, error) {
	plain, err := k.seal.Decrypt(sealed, []byte(where))
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Internal, "a sealed value does not open in its place").Because(err)
	}
	return plain, nil
}

// SealPage makes a page token that only this installation can read and that is
// good only for where: the list, its team and its filter.
func (k *Keys) SealPage(where string, plain []byte) (string, error) {
	b, err := sealed(k.page.Encrypt(plain, []byte(where)))
	return base64.RawURLEncoding.EncodeToString(b), err
}

// OpenPage inverts SealPage. It is InvalidArgument for a token that was
// altered or belongs to another list; it does not say which.
func (k *Keys) OpenPage(where, token string) ([]byte, error) {
	// Strict: without it the last character has spare bits, and one token has
	// several spellings.
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err == nil {
		b, err = k.page.Decrypt(b, []byte(where))
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
	a, err := k.under(token, key)
	if err != nil {
		return nil, err
	}
	return sealed(a.Encrypt(plain, nil))
}

// OpenUnder inverts SealUnder.
func (k *Keys) OpenUnder(token gatehouse.Token, key string, sealed []byte) ([]byte, error) {
	a, err := k.under(token, key)
	if err != nil {
		return nil, err
	}
	plain, err := a.Decrypt(sealed, nil)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Internal, "a kept reply does not open for this caller").Because(err)
	}
	return plain, nil
}

// under needs both the caller's token and the installation's secret: a thief
// of the database who also found an old token opens nothing.
func (k *Keys) under(token gatehouse.Token, key string) (tink.AEAD, error) {
	ikm, err := token.Derive("gatehouse replay v1")
	if err != nil {
		return nil, err
	}
	// The two parts have fixed length, so their concatenation is unambiguous.
	return newAEAD(append(ikm, k.replay...), "replay "+key)
}

// MAC authenticates data in its place: 32 bytes. The length of where is part
// of what is authenticated; without it the border between the two could move.
func (k *Keys) MAC(where string, data []byte) []byte {
	m := k.macs.Get().(*macState)
	m.h.Reset()
	m.frame = binary.BigEndian.AppendUint64(m.frame[:0], uint64(len(where)))
	m.frame = append(m.frame, where...)
	m.h.Write(m.frame)
	m.h.Write(data)
	out := m.h.Sum(nil)
	k.macs.Put(m)
	return out
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
