package purse

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"gatehouse"
)

// simSeeds is how many seeds make test runs; GATEHOUSE_SEEDS says otherwise, and
// GATEHOUSE_SEED runs one.
const simSeeds = 200

func TestSimulatedMoneyIsNeitherOverspentNorStranded(t *testing.T) {
	if s := os.Getenv("GATEHOUSE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if err := simulate(n, nil); err != nil {
			t.Fatal(err)
		}
		return
	}
	seeds := uint64(simSeeds)
	if s := os.Getenv("GATEHOUSE_SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seeds = n
	}
	for seed := range seeds {
		if err := simulate(seed, nil); err != nil {
			t.Fatalf("GATEHOUSE_SEED=%d reproduces this: %v", seed, err)
		}
	}
}

// A simulation that finds nothing proves something only if it would find the
// mistakes that people make here.
func TestTheSimulationFindsEachMistake(t *testing.T) {
	for name, mistake := range map[string]mistake{
		"a bank that grants what others hold":       func(w *simWorld) { w.bank.generous = true },
		"holds that end before usage is in":         func(w *simWorld) { w.early = true },
		"a request that reserves nothing":           func(w *simWorld) { w.nothing = true },
		"a gateway that keeps what it does not use": func(w *simWorld) { w.miser = true },
		"a lost answer that is taken for a refusal": func(w *simWorld) { w.amnesia = true },
	} {
		found := false
		for seed := uint64(0); seed < 200 && !found; seed++ {
			found = simulate(seed, mistake) != nil
		}
		if !found {
			t.Errorf("%s: not found", name)
		}
	}
}

type mistake func(*simWorld)

// simWorld is ten gateways at most, a bank and a network, by one clock.
type simWorld struct {
	*rand.Rand
	now    time.Duration
	queue  events
	order  int
	bank   *simBank
	gates  []*simGate
	funds  []*simFund
	calm   bool
	quiet  time.Duration // of the last fault, how long it lasts
	err    error
	ending bool

	early, nothing, miser, amnesia bool
}

// simFund is the truth about a fund, which nobody in the simulation knows.
type simFund struct {
	gatehouse.Fund
	amount, spent, open, over gatehouse.Ticks // open: worst case of what runs; over: cost beyond worst cases
	grown                     time.Duration   // when money came in
	large                     gatehouse.Ticks // the dearest request, where it is more than a hundredth
}

// short reports that a request may be refused for want of money in the fund.
// Large ones compete with small ones for the last pieces, and may lose. One
// gateway may have died, with slices; what more of them held is not free, nor
// what large requests had just left behind.
func (f *simFund) short(now time.Duration, worst gatehouse.Ticks, dead int) bool {
	bound := f.amount/20 + worst
	if dead > 0 {
		bound += gatehouse.Ticks(dead-1)*f.amount/32 + 2*gatehouse.Ticks(dead)*f.large
	}
	if worst > f.amount/50 {
		bound += 4 * worst
	}
	return f.amount-f.spent-f.open <= bound || now-f.grown <= time.Second
}

type simGate struct {
	w       *simWorld
	id      gatehouse.ID
	inc     int64
	book    *book
	alive   bool
	busy    bool // an exchange is under way
	paused  time.Duration
	cut     time.Duration
	shipped int64
	runs    map[*simRun]bool
	todo    []usage
	dead    [][]usage // of earlier incarnations
}

type simRun struct {
	funds                 []*simFund
	worst, modest, actual gatehouse.Ticks
	took                  gatehouse.Ticks
}

type usage struct {
	inc   int64
	funds []*simFund
	cost  gatehouse.Ticks
}

const simulated = 15 * time.Second

func simulate(seed uint64, bug mistake) error {
	w := &simWorld{Rand: rand.New(rand.NewPCG(seed, 7)), bank: newSimBank()}
	w.calm = w.IntN(2) == 0
	if bug != nil {
		bug(w)
	}
	for range 1 + w.IntN(3) {
		f := &simFund{Fund: gatehouse.Fund{Team: gatehouse.ID{1}, Of: strconv.Itoa(len(w.funds))}, amount: gatehouse.Ticks(100_000 + w.IntN(10_000_000))}
		w.funds = append(w.funds, f)
		w.bank.amount[f.Fund] = f.amount
	}
	for i := range 1 + w.IntN(10) {
		g := &simGate{w: w, id: gatehouse.ID{byte(i + 1)}}
		w.gates = append(w.gates, g)
		w.at(w.between(0, time.Second), g.start)
	}
	w.faults()
	w.demand()
	w.run(simulated)
	if w.err == nil {
		w.finish()
	}
	if w.err != nil {
		return fmt.Errorf("%d gateways, calm %v, %w", len(w.gates), w.calm, w.err)
	}
	return nil
}

// demand sends requests that together want several times what there is.
func (w *simWorld) demand() {
	f := w.funds[0]
	worst := max(1, f.amount/gatehouse.Ticks(20+w.IntN(5000)))
	share := 0.05 + 0.95*w.Float64() // of the worst case that a request costs
	takes := w.between(5*time.Millisecond, 800*time.Millisecond)
	total := float64(f.amount) / (float64(worst) * share)
	every := time.Duration(float64(simulated/2) / (total * (0.5 + 3*w.Float64())))
	every = max(every, time.Millisecond)
	favour := w.Float64()
	var next func()
	next = func() {
		if w.ending {
			return
		}
		g := w.gates[0]
		if w.Float64() > favour*favour {
			g = w.gates[w.IntN(len(w.gates))]
		}
		r := &simRun{worst: 1 + gatehouse.Ticks(w.Float64()*2*float64(worst))}
		r.actual = gatehouse.Ticks(float64(r.worst) * min(1, share*2*w.Float64()))
		if w.IntN(5) == 0 {
			r.modest = 1 + r.worst/8
		}
		if w.IntN(200) == 0 {
			r.actual = r.worst + r.worst/4
		}
		r.funds = w.funds[:1+w.IntN(len(w.funds))]
		for _, f := range r.funds {
			if r.worst > f.amount/100 {
				f.large = max(f.large, r.worst)
			}
		}
		g.do(func() { g.arrive(r, time.Duration(w.ExpFloat64()*float64(takes))) })
		w.after(time.Duration(w.ExpFloat64()*float64(every)), next)
	}
	w.after(time.Second, next)
}

func (w *simWorld) faults() {
	for range w.IntN(4) { // in calm weather too
		g := w.gates[w.IntN(len(w.gates))]
		w.at(w.between(2*time.Second, simulated), func() { g.kill() })
	}
	if w.IntN(3) == 0 {
		f := w.funds[w.IntN(len(w.funds))]
		w.at(w.between(0, simulated), func() {
			more := gatehouse.Ticks(w.Int64N(int64(f.amount)))
			f.amount, f.grown = f.amount+more, w.now
			w.bank.amount[f.Fund] += more
		})
	}
	if w.calm {
		return
	}
	for range w.IntN(8) {
		g := w.gates[w.IntN(len(w.gates))]
		w.at(w.between(0, simulated), func() {
			d := w.between(100*time.Millisecond, 8*time.Second)
			w.quiet = max(w.quiet, w.now+d)
			switch w.IntN(3) {
			case 0:
				g.cut = w.now + d
			case 1:
				g.paused = w.now + d
			case 2:
				w.bank.down = w.now + d
			}
		})
	}
}

func (g *simGate) start() {
	g.inc++
	g.alive, g.busy, g.runs = true, false, map[*simRun]bool{}
	g.book = newBook(g.id, g.inc)
	g.shipped = 0
	inc := g.inc
	var tick func()
	tick = func() {
		if g.inc != inc || !g.alive {
			return
		}
		g.do(g.exchange)
		g.w.after(look, tick)
	}
	tick()
	var ship func()
	ship = func() {
		if g.inc == inc && g.alive {
			g.do(g.ship)
			g.w.after(g.w.between(50*time.Millisecond, 500*time.Millisecond), ship)
		}
	}
	g.w.after(100*time.Millisecond, ship)
}

// do runs f once the gateway is not paused; a dead one runs nothing.
func (g *simGate) do(f func()) {
	inc := g.inc
	if g.w.now < g.paused {
		g.w.at(g.paused, func() {
			if g.inc == inc {
				g.do(f)
			}
		})
		return
	}
	if g.alive {
		f()
	}
}

// kill leaves what was running to be billed at its worst case by the next start.
func (g *simGate) kill() {
	if !g.alive {
		return
	}
	g.alive = false
	left := g.todo
	for r := range g.runs {
		for _, f := range r.funds {
			f.open -= r.took
			f.spent += r.worst
			f.over += r.worst - r.took
		}
		left = append(left, usage{g.inc, r.funds, r.worst})
	}
	g.todo, g.dead = nil, append(g.dead, left)
	g.w.after(g.w.between(500*time.Millisecond, 15*time.Second), g.start)
}

// ship ingests what old incarnations left, and then what this one has.
func (g *simGate) ship() {
	if g.w.now < g.cut || g.w.now < g.w.bank.down {
		return
	}
	if g.w.early {
		g.shipped = g.inc
	}
	if len(g.dead) > 0 {
		if g.w.IntN(10) > 0 {
			return // there may be much of it
		}
		g.w.bank.ingest(g.id, g.dead[0])
		g.dead = g.dead[1:]
		return
	}
	g.shipped = g.inc
	g.w.bank.ingest(g.id, g.todo)
	g.todo = nil
}

func (g *simGate) arrive(r *simRun, takes time.Duration) {
	w := g.w
	if g.w.nothing && w.IntN(50) == 0 {
		r.took = r.worst
		g.begin(r, takes)
		return
	}
	x := &waiter{worst: r.worst, modest: r.modest, arrived: w.now}
	for _, f := range r.funds {
		x.funds = append(x.funds, f.Fund)
	}
	inc := g.inc
	x.done = func() {
		if g.alive && g.inc == inc {
			g.told(r, x, x.verdict, takes)
		}
	}
	if v := g.book.reserve(w.now, x); v != waits {
		g.told(r, x, v, takes)
		return
	}
	if !g.book.park(x) {
		return
	}
	w.after(MaxWait, func() {
		if g.inc == inc && x.verdict == waits {
			g.do(func() {
				if x.verdict == waits {
					g.told(r, x, g.book.leave(w.now, x), takes)
				}
			})
		}
	})
	g.exchange()
}

func (g *simGate) told(r *simRun, x *waiter, v verdict, takes time.Duration) {
	w := g.w
	switch v {
	case granted:
		r.took = x.took
		g.begin(r, takes)
	case refused:
		if !w.quietFor(5*time.Second) || slices.ContainsFunc(r.funds, func(f *simFund) bool { return f.short(w.now, x.small(), w.lying()) }) {
			return
		}
		f := r.funds[x.short.Index]
		w.fail("a request for %d was refused while %d of %d were left", r.worst, f.amount-f.spent-f.open, f.amount)
	case unknown:
		full := slices.ContainsFunc(r.funds, func(f *simFund) bool { a := g.book.accounts[f.Fund]; return a != nil && len(a.waiters) >= maxWaiters-1 })
		if w.quietFor(5*time.Second) && !full {
			w.fail("nobody could tell, and nothing is wrong")
		}
	}
}

func (g *simGate) begin(r *simRun, takes time.Duration) {
	w := g.w
	g.runs[r] = true
	for _, f := range r.funds {
		f.open += r.took
		if f.spent+f.open > f.amount+f.over {
			w.fail("%d spent and %d reserved of %d", f.spent, f.open, f.amount)
		}
	}
	inc := g.inc
	w.after(takes, func() {
		if g.inc == inc {
			g.do(func() { g.settle(r) })
		}
	})
}

func (g *simGate) settle(r *simRun) {
	delete(g.runs, r)
	var funds []gatehouse.Fund
	for _, f := range r.funds {
		f.open -= r.took
		f.spent += r.actual
		f.over += max(0, r.actual-r.took)
		funds = append(funds, f.Fund)
	}
	g.todo = append(g.todo, usage{g.inc, r.funds, r.actual})
	if g.book.settle(g.w.now, funds, r.took, r.actual) {
		g.exchange()
	}
}

// exchange is what Purse.exchange does, over a network that loses, delays and
// lets old requests overtake new ones.
func (g *simGate) exchange() {
	w := g.w
	if g.busy {
		return
	}
	r, ok := g.book.ask(w.now, g.shipped)
	if !ok {
		return
	}
	if w.miser {
		for i := range r.Asks {
			r.Asks[i].Returned = 0
		}
	}
	g.busy = true
	inc, over := g.inc, false
	end := func(f func()) {
		g.do(func() {
			if g.inc == inc && !over {
				over, g.busy = true, false
				f()
				g.exchange()
			}
		})
	}
	w.after(drawTime, func() { end(func() { g.book.fail(w.now, &r) }) })
	if w.lost(g) {
		return
	}
	w.after(w.delay(), func() {
		if w.now < w.bank.down {
			return
		}
		reply := w.bank.draw(w.now, r)
		if w.lost(g) {
			if w.amnesia {
				w.after(w.delay(), func() { end(func() { g.lose(&r) }) })
			}
			return
		}
		w.after(w.delay(), func() { end(func() { g.book.answer(w.now, &r, reply) }) })
	})
}

// lose takes a lost answer for one that says that nothing was granted, and what
// was drawn to have been spent: as if draws were differences.
func (g *simGate) lose(r *DrawRequest) {
	g.book.failed = false
	for i := range r.Asks {
		a := g.book.accounts[r.Asks[i].Fund]
		a.asking, a.answered, a.heard = false, true, g.w.now
		if r.Asks[i].Want > a.drawn {
			a.spent += r.Asks[i].Want - a.drawn
		}
	}
}

// lying is how many incarnations died and have not been told of.
func (w *simWorld) lying() (n int) {
	for _, g := range w.gates {
		n += len(g.dead)
	}
	return n
}

// quietFor reports that nothing but kills has gone wrong for a while.
func (w *simWorld) quietFor(d time.Duration) bool { return w.calm || w.now > w.quiet+d && w.quiet > 0 }

func (w *simWorld) lost(g *simGate) bool {
	return w.now < g.cut || !w.calm && w.now < w.quiet && w.IntN(5) == 0
}

func (w *simWorld) delay() time.Duration {
	if !w.calm && w.now < w.quiet && w.IntN(10) == 0 {
		return w.between(0, 3*time.Second)
	}
	return w.between(200*time.Microsecond, 5*time.Millisecond)
}

// finish stops everything in order and counts.
func (w *simWorld) finish() {
	w.ending = true
	w.run(w.now + 30*time.Second)
	for _, g := range w.gates {
		if g.alive {
			g.book.closing = true
		}
	}
	w.run(w.now + 10*time.Second)
	for _, f := range w.funds {
		if f.open != 0 || w.bank.spent[f.Fund] != f.spent {
			w.fail("%d were spent, %d of it known, %d still run", f.spent, w.bank.spent[f.Fund], f.open)
		}
		if held := w.bank.held(f.Fund, simHold{}); held != 0 {
			w.fail("%d are held at the end by nobody", held)
		}
	}
}

func (w *simWorld) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %v: "+format, append([]any{w.now}, args...)...)
	}
}

func (w *simWorld) between(from, to time.Duration) time.Duration {
	return from + time.Duration(w.Int64N(int64(to-from)))
}

func (w *simWorld) after(d time.Duration, f func()) { w.at(w.now+d, f) }

func (w *simWorld) at(t time.Duration, f func()) {
	w.order++
	heap.Push(&w.queue, event{t, w.order, f})
}

func (w *simWorld) run(until time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= until && w.err == nil {
		e := heap.Pop(&w.queue).(event)
		w.now = max(w.now, e.at)
		e.do()
	}
	w.now = max(w.now, until)
}

type event struct {
	at    time.Duration
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}
