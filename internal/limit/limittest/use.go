package limittest

import (
	"time"

	"gatehouse"
	"gatehouse/internal/limit"
)

// Use is how much of a limit a fleet of gateways admits when together they are
// sent demand times as much, everything is reachable and the first minute is
// over.
func Use(seed uint64, gateways int, l gatehouse.Limits, demand float64) float64 {
	f := &fleet{world: newWorld(seed), calm: true, epoch: 1, net: network{fast: 5 * time.Millisecond}}
	f.clock = f.world.clock(0.001)
	f.book = limit.NewBook(1, f.clock.read(0)-2*time.Minute)
	perSecond := float64(l.QPS)
	if perSecond == 0 {
		perSecond = float64(l.QPM) / 60
	}
	s := &subject{tokens: 1, every: time.Duration(float64(time.Second) / perSecond / demand)}
	s.ID, s.Limits, s.Revision = f.newID(), l, gatehouse.Revision{Epoch: 1, N: 1}
	f.subjects = []*subject{s}
	for range gateways {
		f.gateways = append(f.gateways, &gateway{f: f, id: f.newID(), clock: f.world.clock(0.001), known: []limit.Subject{s.Subject}})
	}
	for _, g := range f.gateways {
		f.at(f.between(0, 100*time.Millisecond), g.start)
	}
	var next func()
	next = func() {
		f.gateways[f.IntN(gateways)].run.arrive(s, 1)
		f.after(time.Duration(f.ExpFloat64()*float64(s.every)), next)
	}
	f.at(200*time.Millisecond, next)
	// Saturating demand uses a minute's limit up at its beginning, so minutes are
	// measured from where the first one ended.
	const from, to = time.Minute, 6 * time.Minute
	f.run(to)
	n := 0
	for _, at := range s.admitted {
		if at >= from {
			n++
		}
	}
	return float64(n) / (perSecond * (to - from).Seconds())
}
