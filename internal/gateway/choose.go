package gateway

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/feed"
)

// plan appends the ways to answer for a model, in the order to try. Weights
// decide by chance, or, when the client names a conversation, by that name: the
// same one goes to the same upstream as long as that upstream is there, which
// is what makes a provider's prompt cache worth anything.
func (c *call) plan(cat *feed.Catalogue, model string, legs []leg) []leg {
	asItCame, asBody := c.ways(cat, model)
	first := len(legs)
	legs = c.draw(asItCame, model, legs)
	for i := range legs[first:] {
		legs[first+i].native = true
	}
	legs = c.draw(asBody, model, legs)
	if len(asItCame)+len(asBody) > 1 {
		legs = c.g.cooling.last(legs, time.Now())
	}
	return legs
}

// draw appends the routes in the order to try.
func (c *call) draw(routes []feed.Route, model string, legs []leg) []leg {
	if len(routes) == 1 {
		return append(legs, leg{model: model, as: routes[0].As, up: routes[0].Upstream})
	}
	order := make([]ranked, len(routes))
	sticky := cmp.Or(c.scan.PromptCacheKey, c.r.Header.Get("X-Grok-Conv-Id"))
	for i, r := range routes {
		u := rand.Float64()
		if sticky != "" {
			u = rendezvous(c.key.TeamID(), sticky, r.Upstream.ID)
		}
		order[i] = ranked{r, -math.Log(1-u) / float64(r.Weight)}
	}
	slices.SortStableFunc(order, func(a, b ranked) int { return cmp.Compare(a.score, b.score) })
	for _, o := range order {
		legs = append(legs, leg{model: model, as: o.As, up: o.Upstream})
	}
	return legs
}

// ranked is a route and its place: the least of exponential variables with the
// weights as rates is drawn with the weights' probabilities.
type ranked struct {
	feed.Route
	score float64
}

// rendezvous is a number in [0, 1) that depends on the names alone, so that
// every gateway, before and after a restart, comes to the same choice. FNV's
// high bits are weak on short input; the finalizer mixes them.
func rendezvous(team gatehouse.ID, name string, upstream gatehouse.ID) float64 {
	h := uint64(14695981039346656037)
	mix := func(b byte) { h = (h ^ uint64(b)) * 1099511628211 }
	for _, b := range team {
		mix(b)
	}
	for i := range len(name) {
		mix(name[i])
	}
	for _, b := range upstream {
		mix(b)
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return float64(h>>11) / (1 << 53)
}

// cooling remembers which upstreams said, or showed, that they cannot answer
// for a while. They are tried last, not never: when all are cooling the
// upstream's own answer is better than ours. Its clock is real time, as
// Retry-After is.
type cooling struct {
	n     atomic.Int64 // entries, so that the usual case takes no lock
	mu    sync.Mutex
	until map[cold]time.Time
}

// cold is an upstream, or one model there: limits of providers are by model.
type cold struct {
	upstream gatehouse.ID
	as       string // empty: all, in every form
	native   bool   // as gRPC
}

const (
	minCooldown = time.Second
	maxCooldown = 5 * time.Minute
	// maxCold bounds the memory; upstreams times models stays far below.
	maxCold = 4096
)

func (k *cooling) note(what cold, now time.Time, d time.Duration) {
	d = min(max(d, minCooldown), maxCooldown)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until == nil || len(k.until) >= maxCold {
		k.until = map[cold]time.Time{}
	}
	if until := now.Add(d); until.After(k.until[what]) {
		k.until[what] = until
	}
	k.n.Store(int64(len(k.until)))
}

func (k *cooling) is(l leg, now time.Time) bool {
	for _, what := range []cold{{l.up.ID, l.as, l.native}, {upstream: l.up.ID}} {
		until, ok := k.until[what]
		if ok && now.Before(until) {
			return true
		}
		if ok {
			delete(k.until, what)
		}
	}
	return false
}

// last moves the cooling ones behind the others.
func (k *cooling) last(legs []leg, now time.Time) []leg {
	if len(legs) < 2 || k.n.Load() == 0 {
		return legs
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	slices.SortStableFunc(legs, func(a, b leg) int {
		return cmp.Compare(boolInt(k.is(a, now)), boolInt(k.is(b, now)))
	})
	k.n.Store(int64(len(k.until)))
	return legs
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// retryBudget lets at most a tenth of the requests be tried again, beyond a
// small stock: when everything fails, retries must not double the load that
// makes it fail.
type retryBudget struct{ tenths atomic.Int64 }

const (
	retryStock = 100 * 10
	retryPrice = 10
)

// earn is called once for each request.
func (b *retryBudget) earn() {
	if b.tenths.Load() < retryStock {
		b.tenths.Add(1)
	}
}

// spend takes one retry. The stock counts from full, so the zero value works.
func (b *retryBudget) spend() bool {
	if b.tenths.Add(-retryPrice) >= -retryStock {
		return true
	}
	b.tenths.Add(retryPrice)
	return false
}

// used batches when secrets were last used.
type used struct {
	shards [16]usedShard
}

type usedShard struct {
	mu   sync.Mutex
	last map[usedKey]time.Time
}

type usedKey struct {
	key   gatehouse.ID
	last4 string
}

// Use says when a secret was last used.
type Use struct {
	KeyID gatehouse.ID
	Last4 string
	Time  time.Time
}

func (u *used) touch(key gatehouse.ID, last4 string, now time.Time) {
	s := &u.shards[key[15]&15]
	s.mu.Lock()
	if s.last == nil {
		s.last = map[usedKey]time.Time{}
	}
	s.last[usedKey{key, last4}] = now
	s.mu.Unlock()
}

func (u *used) take() []Use {
	var out []Use
	for i := range u.shards {
		s := &u.shards[i]
		s.mu.Lock()
		last := s.last
		s.last = nil
		s.mu.Unlock()
		for k, t := range last {
			out = append(out, Use{k.key, k.last4, t})
		}
	}
	return out
}
