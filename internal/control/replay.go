package control

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// How long an answer is kept for the Idempotency-Key that asked for it
// (contract.md). One that carries a secret is kept briefly, and sealed under
// the caller's own token, which the database does not hold.
const (
	replayFor       = 24 * time.Hour
	replaySecretFor = 10 * time.Minute
	// maxIdempotencyKey bounds the header in bytes.
	maxIdempotencyKey = 255
)

// replay is what an Idempotency-Key stands for in one call; nil when none was
// given.
type replay struct {
	c      *Caller
	name   string // under which the answer is kept: the caller's key and its own
	asked  string // what was asked: another request under the same name is refused
	op     gatehouse.Operation
	secret bool
}

// kept is an answer at rest. Body is JSON, sealed when the answer has a token.
type kept struct {
	Asked    string             `json:"asked"`
	Revision gatehouse.Revision `json:"revision"`
	Body     []byte             `json:"body"`
}

// shownOnce is the JSON of an answer beside its token or secret, which have no
// JSON of their own.
type shownOnce struct {
	Value  json.RawMessage `json:"value"`
	Token  string          `json:"token,omitempty"`
	Secret string          `json:"secret,omitempty"`
}

// newReplay takes the caller's Idempotency-Key for the length of the call. The
// key is the caller's own: two callers may use the same one.
func newReplay(c *Caller, who *principal, op gatehouse.Operation, target string, secret bool) (*replay, error) {
	key := c.call.IdempotencyKey
	if key == "" {
		return nil, nil
	}
	if len(key) > maxIdempotencyKey {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "Idempotency-Key must be at most %d bytes", maxIdempotencyKey)
	}
	r := &replay{
		c: c, op: op, secret: secret,
		name:  "idempotency/" + who.ID.String() + "/" + fingerprint(key),
		asked: fingerprint(string(op), target, string(c.call.BodyHash[:])),
	}
	if !c.s.twins.enter(r.name) {
		return nil, gatehouse.Errorf(gatehouse.AlreadyExists, "a request with this Idempotency-Key is still running").After(time.Second)
	}
	return r, nil
}

// leave lets the next request under the key in.
func (r *replay) leave() {
	if r != nil {
		r.c.s.twins.leave(r.name)
	}
}

// recall fills out with the kept answer. Showing a secret again is an act of
// reading and leaves its leaf.
func recall[T any](r *replay, tx store.Tx, who *principal, out *T) (gatehouse.Revision, bool, error) {
	if r == nil {
		return gatehouse.Revision{}, false, nil
	}
	raw, found, err := tx.Recall(r.name, who.now)
	if err != nil || !found {
		return gatehouse.Revision{}, false, err
	}
	var k kept
	if err := json.Unmarshal(raw, &k); err != nil {
		return gatehouse.Revision{}, false, fmt.Errorf("kept answer: %w", err)
	}
	if k.Asked != r.asked {
		return gatehouse.Revision{}, false, gatehouse.Errorf(gatehouse.Unprocessable, "this Idempotency-Key was used for another request")
	}
	if err := r.open(k.Body, out); err != nil {
		return gatehouse.Revision{}, false, err
	}
	return k.Revision, true, tx.Record(gatehouse.Act{
		Action: "idempotency.replayed", Operation: string(r.op), TeamID: who.TeamID,
		Kind: gatehouse.KindManagementKey, Subject: who.ID.String(), Result: gatehouse.Read,
		Description: "The answer of an earlier request was shown again by its Idempotency-Key",
	})
}

// remember keeps the answer, in the transaction that made it true.
func remember[T any](r *replay, tx store.Tx, who *principal, out *T) error {
	if r == nil {
		return nil
	}
	body, err := r.seal(out)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(kept{r.asked, tx.At(), body})
	if err != nil {
		return err
	}
	life := replayFor
	if r.secret {
		life = replaySecretFor
	}
	return tx.Remember(r.name, raw, who.now.Add(life))
}

// seal makes an answer fit for the database: one with a token opens only with
// the token that its receiver holds.
func (r *replay) seal(out any) ([]byte, error) {
	value, err := json.Marshal(withoutToken(out))
	if err != nil {
		return nil, err
	}
	once := shownOnce{Value: value}
	if t := tokenIn(out); t != nil {
		once.Token = t.Reveal()
	}
	if h, ok := out.(**gatehouse.AlertHook); ok {
		once.Secret = (*h).Secret
	}
	plain, err := json.Marshal(once)
	if err != nil || !r.secret {
		return plain, err
	}
	return r.c.s.Sealer.SealUnder(r.c.call.Token, r.name, plain)
}

// open inverts seal. It fails when the caller's key was rotated in between,
// which is the point.
func (r *replay) open(body []byte, out any) (err error) {
	if r.secret {
		if body, err = r.c.s.Sealer.OpenUnder(r.c.call.Token, r.name, body); err != nil {
			return gatehouse.Errorf(gatehouse.FailedPrecondition, "the answer of this Idempotency-Key was given to another secret of this management key").Because(err)
		}
	}
	var once shownOnce
	if err := json.Unmarshal(body, &once); err != nil {
		return fmt.Errorf("kept answer: %w", err)
	}
	t := tokenIn(out)
	if err := json.Unmarshal(once.Value, out); err != nil {
		return fmt.Errorf("kept answer: %w", err)
	}
	if h, ok := out.(**gatehouse.AlertHook); ok {
		(*h).Secret = once.Secret
	}
	if t == nil || once.Token == "" {
		return nil
	}
	*t, err = gatehouse.ParseToken(r.c.s.Brand, once.Token)
	if err != nil {
		return errors.New("kept answer: token")
	}
	return nil
}

// tokenIn finds the token of the answers that have one.
func tokenIn(out any) *gatehouse.Token {
	switch m := out.(type) {
	case *gatehouse.MintedKey:
		return &m.Token
	case *gatehouse.MintedManagementKey:
		return &m.Token
	case *gatehouse.MintedJoinToken:
		return &m.Secret
	case *gatehouse.MintedInvitation:
		return &m.Token
	}
	return nil
}

// withoutToken is an answer as it is marshalled; it is read back into the whole.
func withoutToken(out any) any {
	switch m := out.(type) {
	case *gatehouse.MintedKey:
		return struct {
			Key      *gatehouse.Key
			Warnings []string
		}{m.Key, m.Warnings}
	case *gatehouse.MintedManagementKey:
		return struct{ Key *gatehouse.ManagementKey }{m.Key}
	case *gatehouse.MintedJoinToken:
		return struct{ Token *gatehouse.JoinToken }{m.Token}
	case *gatehouse.MintedInvitation: // its link holds the token, and is made of it
		return struct{ Invitation *gatehouse.Invitation }{m.Invitation}
	}
	return out
}

// fingerprint hashes parts with their lengths, so that no two lists collide.
func fingerprint(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}
