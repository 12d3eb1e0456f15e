package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gatehouse"
	"gatehouse/internal/crowd"
	"gatehouse/internal/feed"
	"gatehouse/internal/limit"
	"gatehouse/internal/llm"
	"gatehouse/internal/meter"
	"gatehouse/internal/openapi"
	"gatehouse/internal/purse"
)

// Config is what a gateway works with. Replica, Limits, Journal, Now and Logger
// are required.
type Config struct {
	Replica *feed.Replica
	Limits  *limit.Limiter
	Journal *meter.Journal
	// Purse has the money of teams that can run out of it, and of budgets. Without
	// one whoever must pay is told that nobody can tell.
	Purse *purse.Purse
	// Lookup finds an id that the journal does not remember: the store's copy.
	// NotFound is no; any other error is 503, cannot tell. Nil finds none.
	Lookup func(ctx context.Context, id string) (meter.Object, error)
	// Library has files and documents; nil: they are not offered.
	Library   Library
	Tokenizer *llm.Tokenizer        // for estimates and /v1/tokenize-text; nil makes one
	Registry  prometheus.Registerer // nil registers nothing
	Now       func() time.Time
	Logger    *slog.Logger
	// OnSettled is told of every request that ended, on the goroutine of the
	// request: it must be quick and must not block. Nil costs nothing.
	OnSettled func(*Settled)

	ID      gatehouse.ID // of this gateway, for its log lines
	Brand   string       // of keys; default gatehouse.DefaultBrand
	Cluster string       // in usage rows
	// OpenAIErrors turns xAI's error bodies into OpenAI's, and its 400 for bad keys
	// into 401. /v1/messages always answers in Anthropic's.
	OpenAIErrors bool

	MaxBody        int64          // bytes of one request body; default 64 MiB
	MaxBodies      int64          // bytes of all bodies in flight; default 512 MiB; beyond it 503
	BodyTime       time.Duration  // for a body to arrive, and as long again per MiB; default 30 s
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed

	// When a client leaves, its answer is read on to the usage at its end for at
	// most DrainTime and DrainBytes; default 30 s and 4 MiB.
	DrainTime  time.Duration
	DrainBytes int64
}

// Gateway is the data plane as an http.Handler.
type Gateway struct {
	c        Config
	leaving  atomic.Bool
	epoch    time.Time // limits count from here
	links    *links
	cooling  cooling
	spares   retryBudget
	used     used
	metrics  *metrics
	bodies   atomic.Int64               // bytes of request bodies in flight
	readers  *crowd.Crowd[netip.Prefix] // of public links
	inliners *crowd.Crowd[gatehouse.ID] // keys whose requests name files
	pools    pools
	leavers  leavers
	date     clock
	pages    func() *openapi.Pages // made when first asked for
	stop     context.CancelFunc
	finished chan struct{}
}

// New makes a gateway. Close it.
func New(c Config) (*Gateway, error) {
	if c.Replica == nil || c.Limits == nil || c.Journal == nil || c.Now == nil || c.Logger == nil {
		return nil, errors.New("gateway: Replica, Limits, Journal, Now and Logger are required")
	}
	c.Brand = cmp.Or(c.Brand, gatehouse.DefaultBrand)
	c.MaxBody = cmp.Or(c.MaxBody, 64<<20)
	c.MaxBodies = cmp.Or(c.MaxBodies, 512<<20)
	c.BodyTime = cmp.Or(c.BodyTime, 30*time.Second)
	c.DrainTime = cmp.Or(c.DrainTime, 30*time.Second)
	c.DrainBytes = cmp.Or(c.DrainBytes, 4<<20)
	if c.Tokenizer == nil {
		c.Tokenizer = llm.NewTokenizer()
	}
	if !c.ID.IsZero() {
		c.Logger = c.Logger.With("gateway", c.ID.String())
	}
	m, err := newMetrics(c.Registry)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	g := &Gateway{c: c, epoch: c.Limits.Epoch(), links: newLinks(), stop: stop, finished: make(chan struct{}), metrics: m}
	g.pages = sync.OnceValue(func() *openapi.Pages { return document(c.OpenAIErrors).Pages() })
	g.readers, g.inliners = crowd.New[netip.Prefix](linkCrowd, linksAtOnce), crowd.New[gatehouse.ID](inlineCrowd, inlinesAtOnce)
	g.pools.init()
	g.leavers.init()
	go g.sweep(ctx)
	return g, nil
}

// Close ends idle upstream connections. Requests under way finish: shut the
// server down first.
func (g *Gateway) Close(ctx context.Context) error {
	g.stop()
	select {
	case <-g.finished:
	case <-ctx.Done():
		return ctx.Err()
	}
	g.links.close()
	return nil
}

// Used returns when each secret was last used since the call before, and
// forgets it: whoever calls writes it down.
func (g *Gateway) Used() []Use { return g.used.take() }

// sweep notices clients that left, and closes connections to upstreams that
// nobody needs any more.
func (g *Gateway) sweep(ctx context.Context) {
	defer close(g.finished)
	tick := time.NewTicker(idleFor / 4)
	defer tick.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			g.leavers.look()
		case now := <-tick.C:
			g.links.sweep(now, g.c.Replica.Catalogue())
		}
	}
}

// ServeHTTP answers every route of the data plane, /healthz and /readyz for
// whoever balances load, and what describes the routes.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		w.WriteHeader(http.StatusOK)
		return
	case "/readyz":
		g.ServeReady(w, r)
		return
	case openapi.JSONPath, openapi.PagePath:
		g.pages().ServeHTTP(w, r)
		return
	}
	c := g.open(w, r)
	defer c.close()
	c.serve()
}

// Ready reports whether keys can be told apart.
func (g *Gateway) Ready() bool { return g.c.Replica.Fresh(g.c.Now()) }

// Farewell makes ServeReady say 503 from now on, so that balancers turn away.
// Requests are served as before.
func (g *Gateway) Farewell() { g.leaving.Store(true) }

// ServeReady is 200 when keys can be told apart and no farewell was said, else 503.
func (g *Gateway) ServeReady(w http.ResponseWriter, _ *http.Request) {
	if g.leaving.Load() || !g.Ready() {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// close ends a call whatever happened in it. A panic is answered when nothing
// was, and its value, which may hold anything, is not logged: the stack is.
func (c *call) close() {
	p := recover()
	if p != nil {
		c.broken(p)
	}
	c.settle()
	c.end()
	c.endWriting()
	if p == http.ErrAbortHandler || c.abort {
		panic(http.ErrAbortHandler) // the server breaks the connection and says nothing
	}
	c.wipe()
}

func (c *call) broken(p any) {
	if p == http.ErrAbortHandler {
		return
	}
	c.outcome, c.slug = gatehouse.Failed, llm.Broken.Slug()
	c.tap = nil // it may be what broke, and settling must not break again
	detail := "a value that is not logged"
	if e, ok := p.(interface {
		error
		RuntimeError()
	}); ok {
		detail = e.Error()
	}
	c.g.c.Logger.Error("panic in the gateway", "request_id", c.requestID, "panic", detail, "stack", string(debug.Stack()))
	if c.status != 0 {
		c.abort = true
		return
	}
	c.fail(refuse(llm.Broken, "internal error"))
}
