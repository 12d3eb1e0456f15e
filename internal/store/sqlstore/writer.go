package sqlstore

import (
	"context"
	"runtime"
	"slices"

	"gatehouse"
	"gatehouse/internal/store"
)

// groupMax bounds how many Updates share a commit: enough that the sync costs
// each little, few enough that a replay after a failure stays short.
const groupMax = 32

// member is one waiting Update.
type member struct {
	ctx   context.Context
	cause gatehouse.Cause
	f     func(store.Tx) error

	rev     gatehouse.Revision
	err     error
	paniced any
	woke    bool // wrote a change
	done    chan struct{}
}

// job is one waiting Ingest or Work.
type job struct {
	ctx     context.Context
	f       func(*session) error
	err     error
	paniced any
	done    chan struct{}
}

// Update implements [store.Store].
func (s *Store) Update(ctx context.Context, cause gatehouse.Cause, f func(store.Tx) error) (gatehouse.Revision, error) {
	m := &member{ctx: ctx, cause: cause, f: f, done: make(chan struct{})}
	if err := submit(s, ctx, s.updates, m); err != nil {
		return gatehouse.Revision{}, err
	}
	// From here the writer alone decides: a context that ends while the group
	// commits must not turn a durable act into an error.
	select {
	case <-m.done:
	case <-s.done:
		select {
		case <-m.done:
		default:
			return gatehouse.Revision{}, closed()
		}
	}
	if m.paniced != nil {
		panic(m.paniced)
	}
	return m.rev, m.err
}

// perform queues a transaction that is no act of authority.
func (s *Store) perform(ctx context.Context, f func(*session) error) error {
	return s.performBy(ctx, s.jobs, f)
}

// performBy queues at a door: what waits at that of small ones goes first.
func (s *Store) performBy(ctx context.Context, door chan<- *job, f func(*session) error) error {
	j := &job{ctx: ctx, f: f, done: make(chan struct{})}
	if err := submit(s, ctx, door, j); err != nil {
		return err
	}
	<-j.done
	if j.paniced != nil {
		panic(j.paniced)
	}
	return j.err
}

// submit queues, unless the caller gave up or the store is closed; what it
// refuses has not run and never will.
func submit[T any](s *Store, ctx context.Context, to chan<- T, what T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.quit:
		return closed()
	default:
	}
	select {
	case to <- what:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.quit:
		return closed()
	}
}

// run is the writer. Updates that wait go before jobs, and small jobs before
// large: an acknowledgement behind a queue of usage would make every change
// look unpropagated. After a group one job may run, so that updates without
// end do not keep usage out for ever; small jobs cannot, their callers being few.
func (s *Store) run() {
	defer close(s.done)
	for {
		select {
		case <-s.quit:
			return
		case m := <-s.updates:
			s.group(s.gather(m))
			s.jobIfAny()
			continue
		default:
		}
		select {
		case j := <-s.small:
			s.job(j)
			continue
		default:
		}
		select {
		case <-s.quit:
			return
		case m := <-s.updates:
			s.group(s.gather(m))
			s.jobIfAny()
		case j := <-s.small:
			s.job(j)
		case j := <-s.jobs:
			s.job(j)
		}
	}
}

// jobIfAny runs a job that is waiting now, and does not wait for one.
func (s *Store) jobIfAny() {
	select {
	case j := <-s.small:
		s.job(j)
	default:
	}
	select {
	case j := <-s.jobs:
		s.job(j)
	default:
	}
}

// gather collects who else waits. Callers woken by the last commit come back
// within a scheduling round, so it yields once before it settles for few.
func (s *Store) gather(first *member) []*member {
	g := []*member{first}
	for yields := 0; len(g) < groupMax; {
		select {
		case m := <-s.updates:
			g = append(g, m)
		default:
			if yields++; yields > 2 {
				return g
			}
			runtime.Gosched()
		}
	}
	return g
}

// group commits members together. A failure that is nobody's own runs them
// again one by one, so that it strikes only whom it belongs to.
func (s *Store) group(all []*member) {
	all = slices.DeleteFunc(all, func(m *member) bool {
		if m.err = m.ctx.Err(); m.err != nil {
			close(m.done)
		}
		return m.err != nil
	})
	if len(all) == 0 {
		return
	}
	if err := s.commit(all); err != nil {
		for _, m := range all {
			// A connection that was lost deserves a second try: nothing was kept.
			if (len(all) > 1 || s.silent(err) || s.again(err)) && !final(err) {
				m.conclude(s.commit([]*member{m}))
			} else {
				m.conclude(err)
			}
		}
	}
	if slices.ContainsFunc(all, func(m *member) bool { return m.err == nil && m.woke }) {
		s.Wake()
	}
	for _, m := range all {
		close(m.done)
	}
}

// conclude gives a member the result of its transaction. One that failed by
// itself keeps its own error: nothing of it was to be kept anyhow.
func (m *member) conclude(err error) {
	switch {
	case err == nil:
	case final(err) && m.err != nil:
	case final(err):
		m.rev, m.err = gatehouse.Revision{}, err
	default:
		m.rev, m.err = gatehouse.Revision{}, unavailable(err)
	}
}

// unavailable is what a caller is told whose act did not become durable. The
// engine's words may hold paths and stay private.
func unavailable(err error) error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the database did not take the change").Because(err)
}

// commit runs members in one transaction. An error is of the transaction as a
// whole: nothing of it was kept.
func (s *Store) commit(all []*member) (err error) {
	w := s.writer
	if err := w.begin(context.Background(), s.d.Begin); err != nil {
		return err
	}
	g := &group{s: s}
	defer func() {
		if err != nil {
			w.rollback()
			g.undo(0)
		}
	}()
	if err := g.lock(); err != nil {
		return err
	}
	for _, m := range all {
		if err := g.member(m); err != nil {
			return err
		}
	}
	woke := slices.ContainsFunc(all, func(m *member) bool { return m.err == nil && m.woke })
	if err := g.store(woke); err != nil {
		return err
	}
	if _, err = w.exec("COMMIT"); err != nil {
		if err = s.settle(g, err); err != nil {
			return err
		}
	}
	g.publish()
	if g.state.tree.Size/blockLeaves > g.first.tree.Size/blockLeaves {
		s.fileBlocks()
	}
	return nil
}

// group is a transaction in the making: the installation row as the members
// have moved it so far, and how to take their heads back.
type group struct {
	s     *Store
	state state
	first state // as locked
	undos []func()
	words []filed
	event string // the id of the first leaf
	// pending are heads that nobody else may rely on yet: see catchup.go.
	pending map[headKey]gatehouse.Revision
}

// filed is an event's entry for the word index. Entries wait for the end of the
// group: SQLite's index writes itself out at every savepoint.
type filed struct {
	index int64
	words string
}

// lock reads the revision row with a write, which makes every other writer of
// any engine wait: from here on the group is serial and sees all that was
// committed. It advances in memory and is written once, by store.
func (g *group) lock() error {
	st, err := g.s.readState(g.s.writer, lockState)
	g.state, g.first = st, st
	if err != nil {
		return err
	}
	if g.s.d.Shared {
		if err := g.s.sameLog(st); err != nil {
			return err
		}
		if err := g.s.catchUp(context.Background(), g.s.writer, st); err != nil {
			return err
		}
	}
	return g.s.thawed()
}

// store writes what the members moved. Words come first, so that a failure of
// the index is a failure of the group and no event is unfindable.
func (g *group) store(woke bool) error {
	if g.state.equal(g.first) {
		return nil
	}
	if woke && g.s.d.Notify != "" {
		if _, err := g.s.writer.exec(query(g.s.d.Notify)); err != nil {
			return err
		}
	}
	for _, f := range g.words {
		if _, err := g.s.writer.exec(query(g.s.d.Index), f.index, f.words); err != nil {
			return err
		}
	}
	return g.s.writeState(g.s.writer, g.state)
}

// member runs one closure under its savepoint. The error returned is not the
// member's: it ends the transaction.
func (g *group) member(m *member) error {
	w := g.s.writer
	if _, err := w.exec("SAVEPOINT member"); err != nil {
		return err
	}
	before, mark, filed, scope := g.state, len(g.undos), len(g.words), w.scope
	if err := w.see(store.ScopeOf(m.ctx)); err != nil {
		return err
	}
	m.rev, m.err, m.woke, m.paniced = gatehouse.Revision{}, nil, false, nil
	t := g.begin(m)
	m.err = t.call(m)
	if g.s.again(m.err) {
		return m.err // alone it holds fewer locks
	}
	if m.err == nil {
		m.rev, m.woke = t.finish(g)
	} else {
		g.state, g.words = before, g.words[:filed]
		g.undo(mark)
		if _, err := w.exec("ROLLBACK TO member"); err != nil {
			return err
		}
		w.scope, w.sick = scope, nil
	}
	_, err := w.exec("RELEASE member")
	return err
}

// undo takes heads back to a mark, newest first.
func (g *group) undo(mark int) {
	for i := len(g.undos) - 1; i >= mark; i-- {
		g.undos[i]()
	}
	g.undos = g.undos[:mark]
}

// call runs f and turns its panic into an error that Update raises again in
// the caller's goroutine: a caller's bug must not stop the writer.
func (t *tx) call(m *member) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.paniced, err = p, gatehouse.Errorf(gatehouse.Internal, "panic in an update")
		}
	}()
	if err := m.f(t); err != nil {
		return err
	}
	// What was posted must not be posted again, and whether a COMMIT that was not
	// answered kept it is told by a leaf: see settle.
	if t.posted && !t.wrote {
		return gatehouse.Errorf(gatehouse.Internal, "a posting needs an act that the audit log has")
	}
	// A write that failed poisons the member even when f ignored the error:
	// else a row could be kept without its leaf.
	return t.failed
}

// job runs one transaction of the lower doors. It shares a commit with nobody:
// these are batches already.
func (s *Store) job(j *job) {
	defer close(j.done)
	if j.err = j.ctx.Err(); j.err != nil {
		return
	}
	for tries := 0; ; tries++ {
		if j.err = s.attempt(j); tries == deadlocks || !s.again(j.err) {
			return
		}
	}
}

// again reports that the engine ended a transaction to end a deadlock.
func (s *Store) again(err error) bool { return err != nil && s.d.Again != nil && s.d.Again(err) }

// deadlocks is how often a job runs again after the engine broke a deadlock.
const deadlocks = 3

// attempt runs a job's transaction once.
func (s *Store) attempt(j *job) error {
	w := s.writer
	err := w.begin(context.Background(), s.d.Begin)
	if err == nil {
		// Usage is of all teams, and bookkeeping of none.
		err = w.see(everyTeam)
	}
	if err != nil {
		w.rollback()
		return unavailable(err)
	}
	if err := j.call(w); err != nil {
		w.rollback()
		return err
	}
	// An error that the job passed over may have ended the transaction: then
	// COMMIT would say yes and keep nothing.
	err = w.sick
	if err == nil || !s.d.Unprepared {
		_, err = w.exec("COMMIT")
	}
	if err != nil {
		w.rollback()
		return unavailable(err)
	}
	return nil
}

// call is to a job what tx.call is to a member.
func (j *job) call(w *session) (err error) {
	defer func() {
		if p := recover(); p != nil {
			j.paniced, err = p, gatehouse.Errorf(gatehouse.Internal, "panic in a job")
		}
	}()
	return j.f(w)
}
