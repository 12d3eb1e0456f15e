package feed

import "gatehouse"

// Sign encodes b and signs it. sign is the installation's signing key; it must
// keep batches apart from whatever else it signs (secret.Keys.SignBatch).
func Sign(b *Batch, sign func(msg []byte) []byte) Signed {
	payload := b.Encode()
	return Signed{payload, sign(payload)}
}

// Open verifies and decodes. A signature that does not verify refuses the whole
// batch, before a byte of it is interpreted.
func Open(s Signed, verify func(msg, sig []byte) bool) (Batch, error) {
	if len(s.Payload) > MaxPayload || !verify(s.Payload, s.Signature) {
		return Batch{}, gatehouse.Errorf(gatehouse.Unauthenticated, "feed: the signature of a batch does not verify")
	}
	return Decode(s.Payload)
}
