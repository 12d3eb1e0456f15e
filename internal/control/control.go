// Package control is the management use-cases: who may do what, to which
// record, and what is written when they do. It knows the store's contract and
// nothing of wires, drivers or gateways.
//
// Every call goes the same way. A snapshot is asked first, so that callers who
// prove nothing never reach the writer. Then one transaction authenticates and
// authorises again, decides on the stored record, and writes it with its audit
// leaf. The second look is the one that counts: a management key revoked while
// its request was under way is refused there, because transactions are serial
// and nothing about management keys is cached (reliability.md, T35).
package control

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/library"
	"gatehouse/internal/store"
)

// Config is what a Service needs. Store, Now, Sealer and Logger are required.
type Config struct {
	Store  store.Store
	Brand  string // of tokens; empty: gatehouse.DefaultBrand
	Now    func() time.Time
	Sealer sealer
	Logger *slog.Logger
	// Tester dials upstreams. Nil: tests are refused as unimplemented.
	Tester tester
	// Processor takes payments. Nil: top-ups are refused as unimplemented.
	Processor processor
	// Retention is how long raw usage is kept; 0: for ever. Questions that need
	// older rows are refused instead of answered from what is left.
	Retention time.Duration
	// SpokenEndpoints are the endpoints that this installation's gateways
	// serve; nil: every endpoint that an ACL may name.
	SpokenEndpoints []string
	// Notifier carries alerts to where teams want them. Nil: they are listed, and
	// sent nowhere.
	Notifier notifier
	// PublicURL is where people reach the management plane, for links in letters.
	PublicURL string
	// Mailer sends letters. Nil: none is sent.
	Mailer mailer
	// Identities proves who signs in. Nil: nobody can.
	Identities identities
	// SignIns is what a proven identity gives.
	SignIns SignInRules
	// Library keeps collections and documents. Nil: they are refused as
	// unimplemented.
	Library *library.Service
	// Stopping is closed when the process is about to end: whoever waits is
	// told how things stand, instead of holding up the stop. Nil: never.
	Stopping <-chan struct{}
}

// sealer makes values that leave this process and come back unread: page
// tokens, the answers kept for idempotent replays, and the ids of imported
// keys. Where binds a value to its purpose; elsewhere it does not open.
type sealer interface {
	SealPage(where string, plain []byte) (string, error)
	OpenPage(where, sealed string) ([]byte, error)
	SealUnder(token gatehouse.Token, where string, plain []byte) ([]byte, error)
	OpenUnder(token gatehouse.Token, where string, sealed []byte) ([]byte, error)
	// Anchor is the same 32 bytes for the same data for as long as the installation
	// lives, whatever secret is rotated.
	Anchor(where string, data []byte) []byte
}

// tester asks an upstream for its model list, with its credential.
type tester interface {
	TestUpstream(context.Context, *gatehouse.Upstream) gatehouse.UpstreamReport
}

// mailer hands a letter to a mail server: plain text, one receiver.
type mailer interface {
	Send(ctx context.Context, to, subject, text string) error
}

// Service holds what all callers share. It is safe for concurrent use.
type Service struct {
	Config
	twins   twins
	useless useless
	ended   ended
	keyring keyring
}

// New makes a Service.
func New(c Config) *Service {
	if c.Brand == "" {
		c.Brand = gatehouse.DefaultBrand
	}
	if c.SpokenEndpoints == nil {
		c.SpokenEndpoints = gatehouse.Endpoints
	}
	return &Service{Config: c, twins: twins{running: map[string]bool{}}, useless: useless{last: map[gatehouse.ID]time.Time{}},
		ended: ended{before: map[gatehouse.ID]int64{}}, keyring: keyring{keys: map[gatehouse.ID]recent{}}}
}

// As returns the management plane as the principal of one call sees it.
func (s *Service) As(call *gatehouse.Call) *Caller {
	if call == nil {
		call = &gatehouse.Call{}
	}
	return &Caller{s: s, call: call}
}

// Caller is the management plane for one call. Every method authenticates and
// authorises first, so a Caller in the wrong hands is worth its token and no more.
type Caller struct {
	s    *Service
	call *gatehouse.Call
}

var (
	_ gatehouse.Keys           = (*Caller)(nil)
	_ gatehouse.ManagementKeys = (*Caller)(nil)
	_ gatehouse.AuditLog       = (*Caller)(nil)
	_ gatehouse.UsageReader    = (*Caller)(nil)
	_ gatehouse.Teams          = (*Caller)(nil)
	_ gatehouse.Upstreams      = (*Caller)(nil)
	_ gatehouse.Catalogue      = (*Caller)(nil)
	_ gatehouse.Prices         = (*Caller)(nil)
	_ gatehouse.Fleet          = (*Caller)(nil)
	_ gatehouse.JoinTokens     = (*Caller)(nil)
	_ gatehouse.Importer       = (*Caller)(nil)
	_ gatehouse.Discovery      = (*Caller)(nil)
	_ gatehouse.Money          = (*Caller)(nil)
	_ gatehouse.Invoices       = (*Caller)(nil)
	_ gatehouse.Treasury       = (*Caller)(nil)
	_ gatehouse.Ledger         = (*Caller)(nil)
	_ gatehouse.Budgets        = (*Caller)(nil)
	_ gatehouse.AlertHooks     = (*Caller)(nil)
	_ gatehouse.Members        = (*Caller)(nil)
	_ gatehouse.SignIns        = (*Caller)(nil)
	_ gatehouse.Collections    = (*Caller)(nil)
	_ gatehouse.Documents      = (*Caller)(nil)
)

// twins are the Idempotency-Keys whose first request still runs. They are
// known to this process alone; between processes the serial transaction makes
// the second request a replay instead, which is as good.
type twins struct {
	mu      sync.Mutex
	running map[string]bool
}

// enter reports whether name was free, and takes it.
func (t *twins) enter(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running[name] {
		return false
	}
	t.running[name] = true
	return true
}

func (t *twins) leave(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.running, name)
}
