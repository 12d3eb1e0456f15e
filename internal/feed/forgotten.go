package feed

import (
	"errors"

	"gatehouse"
)

// ErrForgotten is in the chain of a Feed's error when control said, in words that
// nobody else can have, that this gateway is no member. A refusal that anything on
// the way could have made up must not carry it: the gateway stops serving.
var ErrForgotten = errors.New("control does not know this gateway as a member")

// Forgotten is what control signs, as it signs batches, to say that nobody is a
// member by a credential. It names the credential by its digest, so that it
// cannot be held against another, and it can be no batch, which begins otherwise.
func Forgotten(credential gatehouse.Digest) []byte {
	return append([]byte("gatehouse/fleet/forgotten/v1/"), credential[:]...)
}

// forgotten stops serving: propagation waits for this gateway no more, so what it
// holds may be revoked by now. A start from the disk must not serve it either. Polls
// go on, and an answer to one is the only way back.
func (f *Follower) forgotten() {
	if f.Replica.Forgotten() {
		return
	}
	f.Replica.retire()
	f.Log.Error("control has forgotten this gateway: it stops serving. To serve again, join under another id, with an empty data directory",
		"gateway", f.Gateway.String())
	if f.Archive != nil {
		f.Archive.forget()
	}
}

// Forgotten reports whether control said last that this gateway is no member.
func (r *Replica) Forgotten() bool { return r.heard.Load().forgotten }

// retire makes the replica as stale as one that never heard control. The state
// stays: who has just looked at its age must not then miss a key in it.
func (r *Replica) retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard.Store(&heard{forgotten: true})
}

// forget removes what is kept.
func (a *Archive) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.giveUp(ErrForgotten)
}
