package feed

import (
	"context"
	"time"

	"gatehouse"
)

// The times that both sides and whoever computes propagation agree on. They are
// constants because safety depends on nobody granting more than the others assume.
const (
	// LeaseLength is how long a gateway may serve strict keys after sending a
	// poll that was answered with the newest state.
	LeaseLength = 10 * time.Second
	// Silence is after how long without a poll a gateway no longer counts for
	// changes that only add authority.
	Silence = 10 * time.Second
	// MaxStale is how long a gateway serves ordinary keys from what it knows while
	// control is away. After it, the gateway answers 503.
	MaxStale = 24 * time.Hour
	// Drift is the margin for two clocks that run at different speeds for
	// MaxStale: a ten-thousandth, more than quartz does.
	Drift = 10 * time.Second
	// Wire is the newest layout of batches that this program reads and writes.
	Wire = 2
	// pollLength is how long a Pull waits for something newer.
	pollLength = 2 * time.Second
)

// Feed is where a gateway gets changes. Implementations: [Source] in process,
// and over the network. Both pass feedtest.
type Feed interface {
	// Pull acknowledges p.Enforced and returns what comes after it. It waits for
	// something newer for about two seconds; then an empty batch renews the lease.
	Pull(ctx context.Context, p Poll) (Signed, error)
}

// Poll is what a gateway says when it asks.
type Poll struct {
	Gateway gatehouse.ID
	Cluster string
	Version string // of the gateway's program
	// Enforced is the revision that the replica serves. With Ready false it is
	// zero, and the answer is a snapshot.
	Enforced gatehouse.Revision
	Ready    bool
	Problem  string // which records are quarantined and why; empty when none
	// Nonce is fresh for every poll. The batch repeats it under its signature, so
	// that an old answer cannot renew a lease.
	Nonce uint64
	// Session and Part name the next part of a snapshot that is under way; zero
	// when there is none. A part may be asked for again until the next was.
	Session uint64
	Part    uint32
	// Wire is the newest layout of batches that the gateway reads; zero is the
	// first. A source writes none newer, so gateways may be older than control.
	Wire uint32
	// Archive asks for a snapshot for the disk, beside what is served: it
	// acknowledges nothing and is granted no lease.
	Archive bool
	// Offer is what the gateway knows to be deleted. It is there in the poll after
	// one that was refused because the store began an epoch.
	Offer *Offer
	// SealTo is the X25519 public key that credentials are sealed to. The server's
	// side of a network sets it from the member's record, never from what the
	// gateway says. Zero is a gateway in this process, which gets them in the clear.
	SealTo SealKey
}
