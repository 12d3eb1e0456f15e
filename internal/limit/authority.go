package limit

import (
	"context"
	"time"

	"gatehouse"
)

// Authority keeps what several gateways share: who may admit how much of each
// limit, and what each has counted. It holds nothing that must survive: one
// that forgets (a restart, a flush) grants nothing new until whatever it may
// have granted before is over.
//
// Every call is batched per gateway and idempotent: a request that is sent
// twice, late or out of order changes nothing for the worse. Errors mean that
// the authority cannot tell; the caller then has only its base share.
type Authority interface {
	// Lease renews and asks for shares. The shares of a reply count from the
	// moment its request was sent, for Life; only the reply to the newest request
	// of a holder counts.
	Lease(ctx context.Context, r LeaseRequest) (LeaseReply, error)
	// Take admits one request of each subject, all or none, out of what is not
	// leased. The taker must dispatch within Guard of sending, or not at all.
	Take(ctx context.Context, r TakeRequest) (TakeReply, error)
	// Exchange posts what this holder counts of each subject's tokens in the last
	// minute, and returns what all others count.
	Exchange(ctx context.Context, r ExchangeRequest) (ExchangeReply, error)
}

// The times of a share. Longer lives cost less traffic and leave the share of a
// dead gateway idle for longer.
const (
	// Life is how long a share may be used, counted by its holder from sending the
	// request for it.
	Life = 10 * time.Second
	// Margin is what the authority waits beyond Life: it covers clocks that drift
	// against each other by up to 5 %.
	Margin = 500 * time.Millisecond
	// MaxGuard bounds the guard band of a Take.
	MaxGuard = 250 * time.Millisecond
)

// MaxWeight is the largest weight; with it no product of limit and weight
// leaves 53 bits, which is what numbers in Lua have.
const MaxWeight = 1 << 20

// MaxBatch is how many subjects one request may name.
const MaxBatch = 4096

// Rates is an amount of each kind of rate limit. Zero is nothing, never "no
// limit".
type Rates struct {
	QPS int32 `json:"qps,omitzero"`
	QPM int32 `json:"qpm,omitzero"`
}

// Subject is what a limit applies to: a key, a team's use of one model, or an
// upstream. All gateways state the same Limits at the same Revision; the
// authority goes by the newest it has seen.
type Subject struct {
	ID       gatehouse.ID       `json:"id"`
	Limits   gatehouse.Limits   `json:"limits"`
	Revision gatehouse.Revision `json:"revision"`
}

// LeaseRequest is one holder's demands. Holder names one run of a gateway: a
// restarted gateway is another holder, and what its former self held runs out
// by itself. Seq grows with every request of a holder.
type LeaseRequest struct {
	Gateway gatehouse.ID `json:"gateway"`
	Holder  gatehouse.ID `json:"holder"`
	Seq     uint64       `json:"seq"`
	Demands []Demand     `json:"demands"`
}

// Demand is what a holder says of one subject. Held and Used are promises: from
// sending until the reply, it admits no more than Held in any window beside
// its base share, and Used is the most that any window up to now holds of what
// it admitted under leases.
type Demand struct {
	Subject Subject `json:"subject"`
	Held    Rates   `json:"held,omitzero"`
	Used    Rates   `json:"used,omitzero"`
	// Want is the most that it can use; zero gives the share back.
	Want Rates `json:"want,omitzero"`
	// Weight is its demand in requests per ten seconds, refused ones as well, at
	// most MaxWeight: shares are proportional to it when Want does not fit.
	Weight int64 `json:"weight,omitzero"`
}

// LeaseReply answers the demands in their order.
type LeaseReply struct {
	Seq    uint64  `json:"seq"` // of the request
	Shares []Share `json:"shares"`
}

// Share is what a holder may admit of a subject beside its base share, for Life
// from the sending of its request. Free is what was left for Take.
type Share struct {
	Rates Rates `json:"rates"`
	Free  Rates `json:"free,omitzero"`
}

// TakeRequest asks for one admission of every subject. Guard is how long after
// sending it the taker will still dispatch.
type TakeRequest struct {
	Gateway  gatehouse.ID  `json:"gateway"`
	Holder   gatehouse.ID  `json:"holder"`
	Subjects []Subject     `json:"subjects"`
	Guard    time.Duration `json:"guard"`
	// Cost is how many admissions; at least 1.
	Cost int32 `json:"cost"`
}

// TakeReply says whether all were taken. If not, Limit is "qps" or "qpm", Index
// the subject that refused, Full whether its limit is used up (the client is
// told to slow down) or only leased elsewhere or unknown (the client is told
// to come back), and RetryAfter when to try again.
type TakeReply struct {
	OK         bool          `json:"ok"`
	Index      int           `json:"index"`
	Limit      string        `json:"limit,omitempty"`
	Full       bool          `json:"full,omitempty"`
	RetryAfter time.Duration `json:"retryAfter"`
}

// ExchangeRequest posts token counts. Seq grows with every request of a holder,
// counted apart from that of leases.
type ExchangeRequest struct {
	Gateway gatehouse.ID `json:"gateway"`
	Holder  gatehouse.ID `json:"holder"`
	Seq     uint64       `json:"seq"`
	Counts  []Count      `json:"counts"`
}

// Count is what a holder counts of a subject: the sum of its own last minute
// and what it holds in reserve. A sum, and not what was added since, because a
// repeated, lost or corrected sum needs no care.
type Count struct {
	Subject gatehouse.ID `json:"subject"`
	Tokens  int64        `json:"tokens"`
}

// ExchangeReply answers the counts in their order: what all other holders count.
type ExchangeReply struct {
	Seq    uint64  `json:"seq"`
	Others []int64 `json:"others"`
	// Epoch names the authority's memory; another one means that it forgot.
	Epoch uint64 `json:"epoch"`
	// Age is how far back that memory reaches, at most a minute and a bit. Below
	// that, Others may lack what a holder that is gone counted.
	Age time.Duration `json:"age"`
}

// Member is a gateway among which base shares are divided.
type Member struct {
	ID gatehouse.ID `json:"id"`
	// Settled says that every other member enforces a revision in which this one
	// is a member, so that all have made room for its base share.
	Settled bool `json:"settled"`
}
