package limittest

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// world is true time and what happens in it. Nothing else knows true time:
// every party sees its own clock.
type world struct {
	*rand.Rand
	now    time.Duration
	events events
	n      int
}

func newWorld(seed uint64) *world { return &world{Rand: rand.New(rand.NewPCG(seed, 0x9a7e))} }

type event struct {
	at time.Duration
	n  int // events of one instant happen in the order in which they were made
	do func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

func (w *world) at(t time.Duration, do func()) {
	w.n++
	heap.Push(&w.events, event{max(t, w.now), w.n, do})
}

func (w *world) after(d time.Duration, do func()) { w.at(w.now+d, do) }

func (w *world) run(until time.Duration) {
	for w.events.Len() > 0 && w.events[0].at <= until {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = until
}

// between draws a time, evenly.
func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.Int64N(int64(high-low)+1))
}

// clock is one party's: it runs fast or slow and starts anywhere.
type clock struct {
	offset time.Duration
	rate   float64
}

func (w *world) clock(drift float64) clock {
	return clock{w.between(0, time.Hour), 1 + drift*(2*w.Float64()-1)}
}

func (c clock) read(now time.Duration) time.Duration {
	return c.offset + time.Duration(float64(now)*c.rate)
}

// network is how messages fare. A message to or from a cut party is lost.
type network struct {
	fast, slow time.Duration
	slowly     float64 // how often slow instead of fast
	loss, dup  float64
}

// send delivers a message once, late, twice or never.
func (w *world) send(n *network, cut func() bool, deliver func()) {
	copies := 1
	if w.Float64() < n.dup {
		copies = 2
	}
	for range copies {
		if cut() || w.Float64() < n.loss {
			continue
		}
		d := w.between(n.fast/4, n.fast)
		if w.Float64() < n.slowly {
			d = w.between(n.slow/2, n.slow)
		}
		w.after(d, func() {
			if !cut() {
				deliver()
			}
		})
	}
}
