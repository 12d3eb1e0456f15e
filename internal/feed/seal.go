package feed

import (
	"crypto/ecdh"
	"crypto/hpke"

	"gatehouse"
)

// SealKey is the X25519 public key of a gateway; zero is none.
type SealKey [32]byte

// sealInfo keeps what is sealed here apart from anything else that is ever
// sealed to a gateway's key.
const sealInfo = "gatehouse/feed/upstream-credential/v1/"

// Unseal opens what was sealed to this gateway for one upstream.
type Unseal func(upstream gatehouse.ID, sealed []byte) (string, error)

// seal makes a credential readable to the holder of one private key alone. It
// is bound to its upstream: moved to another, whose address may be anybody's, it
// does not open.
func seal(to SealKey, upstream gatehouse.ID, credential string) ([]byte, error) {
	bad := func(err error) ([]byte, error) {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "a credential cannot be sealed to the gateway's key").Because(err)
	}
	key, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(to[:])
	if err != nil {
		return bad(err)
	}
	sealed, err := hpke.Seal(key, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(sealInfo+upstream.String()), []byte(credential))
	if err != nil {
		return bad(err)
	}
	return sealed, nil
}

// Opener is the other side of sealing, with the gateway's private key.
func Opener(key *ecdh.PrivateKey) Unseal {
	return func(upstream gatehouse.ID, sealed []byte) (string, error) {
		priv, err := hpke.NewDHKEMPrivateKey(key)
		if err == nil {
			var plain []byte
			plain, err = hpke.Open(priv, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(sealInfo+upstream.String()), sealed)
			if err == nil {
				return string(plain), nil
			}
		}
		return "", gatehouse.Errorf(gatehouse.InvalidArgument, "the credential is not sealed to this gateway").Because(err)
	}
}
