package serve

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/feed"
	"gatehouse/internal/limit"
	"gatehouse/internal/limit/valkey"
	"gatehouse/internal/store"
)

// keyPrefix begins every key in Valkey.
const keyPrefix = "gatehouse"

// shared is the authority that the configuration names; nil for none.
func (p *program) shared() (limit.Authority, error) {
	if p.cfg.Authority == "" {
		return nil, nil
	}
	a, err := valkey.Open(p.cfg.Authority, keyPrefix)
	if err != nil {
		return nil, err
	}
	p.later("authority", func(context.Context) error { a.Close(); return nil })
	if p.store != nil {
		p.firstGrants(a)
	}
	return a, nil
}

// firstGrants tells the authority of an installation that never had a gateway
// that it need not wait: before the first can join, if it is there.
func (p *program) firstGrants(a *valkey.Authority) {
	err := p.tellFirst(context.Background(), a)
	if err == nil {
		return
	}
	p.log.Warn("the limit authority cannot be told that it need not wait: limits per minute may be answered 503 for its first 72 seconds", "err", err)
	if errors.Is(err, valkey.ErrUsed) {
		return
	}
	p.loop("first grants", func(ctx context.Context) {
		for err != nil && !errors.Is(err, valkey.ErrUsed) && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(soleEvery):
				err = p.tellFirst(ctx, a)
			}
		}
	})
}

// tellPatience is how long a start waits for an authority to be told.
const tellPatience = 3 * time.Second

func (p *program) tellFirst(ctx context.Context, a *valkey.Authority) error {
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	virgin, err := p.virgin(ctx)
	if err == nil && virgin {
		err = a.First(ctx, func() (bool, error) { return p.virgin(ctx) })
	}
	return err
}

// virgin reports that no gateway ever was or joined, and that the database was
// never restored: nothing can have been admitted before.
func (p *program) virgin(ctx context.Context) (virgin bool, err error) {
	err = p.store.View(store.System(ctx), func(v store.View) error {
		gateways, err := v.Gateways()
		if err != nil {
			return err
		}
		joined, err := v.Memberships()
		if err != nil {
			return err
		}
		rev, err := v.Revision()
		virgin = len(gateways) == 0 && len(joined) == 0 && rev.Epoch == 1
		return err
	})
	return virgin, err
}

// alone reports whether this process is the only gateway there is, so that every
// limit is its own.
func (p *program) alone(ctx context.Context) (alone bool, err error) {
	if p.cfg.Role != RoleAll || p.cfg.Authority != "" {
		return false, nil
	}
	err = p.store.View(store.System(ctx), func(v store.View) error {
		gateways, err := v.Gateways()
		alone = !slices.ContainsFunc(gateways, func(g *gatehouse.Gateway) bool { return g.ID != p.node && !g.Forgotten })
		return err
	})
	return alone, err
}

// joiner is control as gateways know it. The first that joins ends this
// process's being alone, before it hears that it is one.
type joiner struct {
	*control.Service
	p  *program
	up *uplink
}

// Join implements what the fleet's face asks for.
func (m joiner) Join(ctx context.Context, r control.JoinRequest) (control.Joined, error) {
	joined, err := m.Service.Join(ctx, r)
	if err == nil && m.p.limits != nil && m.up.alone {
		m.p.endAlone(m.up)
	}
	return joined, err
}

// endAlone puts this process's gateway under the authority, once.
func (p *program) endAlone(up *uplink) {
	p.share.Do(func() {
		if s, ok := up.limits.(*sole); ok {
			s.memory.Store(limit.NewMemory(p.now))
		}
		p.limits.Share()
	})
}

// awaitCompany ends being alone when a gateway has come in elsewhere: through
// another control node, or as the one of another process that is everything.
func (p *program) awaitCompany(ctx context.Context, up *uplink, replica *feed.Replica) {
	tick := time.NewTicker(companyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if slices.ContainsFunc(replica.Members(), func(m limit.Member) bool { return m.ID != up.gateway }) {
			p.endAlone(up)
			return
		}
	}
}

// companyEvery is how often that is looked for; the authority of the other
// gives nothing for longer than that.
const companyEvery = 200 * time.Millisecond

// sole is control as the authority, for those without Valkey. Two control nodes
// must not share out the same limit, so the one that holds a lease in the
// database does. A node counts its lease from sending, on its own monotonic
// clock, and gives it up early; the next one begins without memory, and so
// waits for as long as any share may live. That bears clocks of nodes that are
// apart by less than the difference.
type sole struct {
	p      *program
	memory atomic.Pointer[limit.Memory]
	until  atomic.Int64 // of the process's monotonic time, in nanoseconds
	start  time.Time
}

// How often a node asks for its turn, how long it uses one, and how long the
// database keeps it from others.
const (
	soleEvery = 2 * time.Second
	soleUse   = 10 * time.Second
	soleHold  = 30 * time.Second
)

func (p *program) newSole() *sole {
	s := &sole{p: p, start: time.Now()}
	p.loop("limits", s.keep)
	return s
}

// keep asks for the turn until ctx ends.
func (s *sole) keep(ctx context.Context) {
	s.ask(ctx)
	every(ctx, soleEvery, func() { s.ask(ctx) })
}

func (s *sole) ask(ctx context.Context) {
	sent := time.Since(s.start)
	if mine, err := s.p.turn(ctx, "limits", soleHold); err != nil || !mine {
		return
	}
	if sent > time.Duration(s.until.Load()) {
		s.memory.Store(s.fresh(ctx)) // whatever was known is too old
	}
	s.until.Store(int64(sent + soleUse))
}

// fresh is a memory to begin with. Before the first gateway there is nothing to
// wait for; that of a process that is everything admits by itself.
func (s *sole) fresh(ctx context.Context) *limit.Memory {
	virgin, err := s.p.virgin(ctx)
	if err == nil && virgin && s.p.cfg.Role == RoleControl {
		return limit.NewFirstMemory(s.p.now)
	}
	return limit.NewMemory(s.p.now)
}

// its is the memory, while it is this node's turn.
func (s *sole) its() (*limit.Memory, error) {
	// The time first: what a turn begins with is there before its end is known.
	mine := time.Since(s.start) <= time.Duration(s.until.Load())
	m := s.memory.Load()
	if m == nil || !mine {
		return nil, gatehouse.Errorf(gatehouse.Unavailable, "another control node shares out limits").After(soleEvery)
	}
	return m, nil
}

// Lease implements [limit.Authority].
func (s *sole) Lease(ctx context.Context, r limit.LeaseRequest) (reply limit.LeaseReply, err error) {
	m, err := s.its()
	if err != nil {
		return reply, err
	}
	return m.Lease(ctx, r)
}

// Take implements [limit.Authority].
func (s *sole) Take(ctx context.Context, r limit.TakeRequest) (reply limit.TakeReply, err error) {
	m, err := s.its()
	if err != nil {
		return reply, err
	}
	return m.Take(ctx, r)
}

// Exchange implements [limit.Authority].
func (s *sole) Exchange(ctx context.Context, r limit.ExchangeRequest) (reply limit.ExchangeReply, err error) {
	m, err := s.its()
	if err != nil {
		return reply, err
	}
	return m.Exchange(ctx, r)
}
