package limittest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
)

// simulated is how long one simulation of limits is.
const simulated = 150 * time.Second

// SimulateLimits runs one fleet for 150 seconds and returns what it promised
// and did not keep.
func SimulateLimits(seed uint64) error {
	f := build(seed)
	if !f.calm {
		f.faults()
	}
	f.changes()
	f.forgets()
	f.run(simulated)
	for i, s := range f.subjects {
		if err := f.judge(s); err != nil {
			return fmt.Errorf("seed %d, subject %d (%+v, %d gateways, calm %v): %w", seed, i, s.Limits, len(f.gateways), f.calm, err)
		}
	}
	return nil
}

func build(seed uint64) *fleet {
	f := &fleet{world: newWorld(seed), epoch: 1}
	f.calm = f.IntN(3) == 0
	f.net = network{fast: 10 * time.Millisecond}
	if !f.calm {
		f.net = network{fast: f.between(time.Millisecond, 40*time.Millisecond), slow: f.between(100*time.Millisecond, 2*time.Second),
			slowly: f.Float64() * f.Float64(), loss: f.Float64() * 0.2, dup: f.Float64() * 0.3}
	}
	f.clock = f.world.clock(0.004)
	// The authority has been there for a while, or has just begun.
	f.book = limit.NewBook(f.epoch, f.clock.read(0)-time.Duration(f.IntN(2))*2*time.Minute)
	for range 2 + f.IntN(4) {
		f.gateways = append(f.gateways, &gateway{f: f, id: f.newID(), clock: f.world.clock(0.004)})
	}
	for range 1 + f.IntN(2) {
		f.subjects = append(f.subjects, f.subject())
	}
	for _, g := range f.gateways {
		for _, s := range f.subjects {
			g.known = append(g.known, s.Subject)
		}
		f.at(f.between(0, 100*time.Millisecond), g.start)
	}
	for _, s := range f.subjects {
		f.at(f.between(200*time.Millisecond, time.Second), func() { f.demand(s) })
	}
	return f
}

func (f *fleet) subject() *subject {
	s := &subject{tokens: 100}
	s.ID, s.Revision = f.newID(), gatehouse.Revision{Epoch: 1, N: 1}
	s.Limits = f.limits()
	wanted := 2.0
	if s.Limits.QPS > 0 {
		wanted = float64(s.Limits.QPS)
	} else if s.Limits.QPM > 0 {
		wanted = float64(s.Limits.QPM) / 60
	}
	s.every = time.Duration(float64(time.Second) / (wanted * (0.3 + 3*f.Float64())))
	if s.Limits.TPM > 0 {
		// Requests come in bulk enough to pass the limit several times.
		s.tokens = max(s.Limits.TPM/(20+f.Int64N(100)), 2)
	}
	s.ranges = []span{{s.Limits, math.MaxInt64}}
	return s
}

func (f *fleet) limits() gatehouse.Limits {
	var l gatehouse.Limits
	switch f.IntN(4) {
	case 0:
		l.QPS = 1 + f.Int32N(9)
	case 1:
		l.QPS = 10 + f.Int32N(80)
	case 2:
		l.QPS, l.QPM = 1+f.Int32N(40), 20+f.Int32N(1000)
	case 3:
		l.QPM = 1 + f.Int32N(600)
	}
	if f.IntN(3) == 0 {
		l.TPM = 1000 + f.Int64N(100_000)
	}
	return l
}

// demand sends clients' requests, most of them to a favourite that changes.
func (f *fleet) demand(s *subject) {
	favourite, favour := f.IntN(len(f.gateways)), f.Float64()
	var next func()
	next = func() {
		g := f.gateways[favourite]
		if f.Float64() > favour {
			g = f.gateways[f.IntN(len(f.gateways))]
		}
		if f.Float64() < 0.001 {
			favourite, favour = f.IntN(len(f.gateways)), f.Float64()
		}
		if r := g.run; r != nil {
			tokens := 1 + f.Int64N(2*s.tokens)
			r.when(func() { r.arrive(s, tokens) })
		}
		f.after(time.Duration(f.ExpFloat64()*float64(s.every)), next)
	}
	next()
}

// faults happen to gateways and to the authority's network.
func (f *fleet) faults() {
	for range f.IntN(12) {
		g := f.gateways[f.IntN(len(f.gateways))]
		f.at(f.between(0, simulated), func() {
			switch f.IntN(4) {
			case 0:
				g.cut = f.now + f.between(time.Second, 40*time.Second)
			case 1:
				g.paused = max(g.paused, f.now+f.between(time.Second, 30*time.Second))
			case 2:
				g.crash()
			case 3:
				f.gone = true
				f.after(f.between(time.Second, 30*time.Second), func() { f.gone = false })
			}
		})
	}
}

func (g *gateway) crash() {
	if g.run != nil {
		g.run.died = g.f.now
	}
	g.run, g.paused = nil, 0
	g.f.after(g.f.between(0, 5*time.Second), func() {
		if g.run == nil {
			g.start()
		}
	})
}

// forgets: the authority restarts, or somebody flushes it.
func (f *fleet) forgets() {
	for range f.IntN(3) {
		f.at(f.between(30*time.Second, simulated), func() {
			f.epoch++
			f.book = limit.NewBook(f.epoch, f.clock.read(f.now))
		})
	}
}

// changes: an operator lowers or raises a limit, and gateways learn of it one
// by one.
func (f *fleet) changes() {
	if f.IntN(2) == 0 {
		return
	}
	s := f.subjects[f.IntN(len(f.subjects))]
	f.at(f.between(10*time.Second, 100*time.Second), func() {
		changed := s.Subject
		changed.Revision.N++
		scale := func(n int32) int32 { return max(n*(1+f.Int32N(30))/10, min(n, 1)) }
		changed.Limits.QPS, changed.Limits.QPM = scale(changed.Limits.QPS), scale(changed.Limits.QPM)
		last := f.now
		for _, g := range f.gateways {
			at := f.now + f.between(0, 2*time.Second)
			last = max(last, at)
			f.at(at, func() {
				for i := range g.known {
					if g.known[i].ID == s.ID {
						g.known[i] = changed
					}
				}
			})
		}
		s.ranges[0].until = last + limit.Life + limit.Margin
		s.ranges = append(s.ranges, span{changed.Limits, math.MaxInt64})
	})
}

// judge compares what was promised with every true admission.
func (f *fleet) judge(s *subject) error {
	slices.Sort(s.admitted)
	for _, kind := range []struct {
		name  string
		width time.Duration
		of    func(gatehouse.Limits) int32
	}{
		{"second", time.Second, func(l gatehouse.Limits) int32 { return l.QPS }},
		{"minute", time.Minute, func(l gatehouse.Limits) int32 { return l.QPM }},
	} {
		if kind.of(s.Limits) == 0 {
			continue
		}
		// Nobody's second is longer than the drift allows.
		width, first := kind.width*99/100, 0
		for i, at := range s.admitted {
			for s.admitted[first] < at-width {
				first++
			}
			if n := int32(i - first + 1); n > s.most(kind.of, at-kind.width) {
				return fmt.Errorf("%d admitted in the %s to %v, at most %d allowed", n, kind.name, at, s.most(kind.of, at-kind.width))
			}
		}
	}
	if s.Limits.TPM > 0 && f.calm {
		return f.judgeTokens(s)
	}
	return nil
}

// most is the largest limit that anybody may have gone by since.
func (s *subject) most(of func(gatehouse.Limits) int32, since time.Duration) (most int32) {
	for _, r := range s.ranges {
		if r.until >= since {
			most = max(most, of(r.limits))
		}
	}
	return most
}

// judgeTokens checks that nothing is admitted once the sum of the last minute
// has exceeded the limit for half a second. Only what remained after
// correction is summed, so the oracle is never too strict.
func (f *fleet) judgeTokens(s *subject) error {
	if s.blind != nil {
		return s.blind
	}
	slices.SortFunc(s.posts, func(a, b posting) int { return int(a.at - b.at) })
	slices.Sort(s.over)
	for _, at := range s.over {
		// The sum was over the limit through the whole half second before if what
		// was posted before it, and is still in the minute at its end, exceeds it.
		var sum int64
		for _, p := range s.posts {
			if p.at > at-59*time.Second && p.at <= at-500*time.Millisecond {
				sum += p.tokens
			}
		}
		if sum > s.Limits.TPM {
			return fmt.Errorf("admitted at %v, although %d tokens had been counted half a second before, limit %d", at, sum, s.Limits.TPM)
		}
	}
	return nil
}
