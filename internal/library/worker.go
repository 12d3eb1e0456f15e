package library

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// A worker that says nothing for leaseLength has lost its task. It stops working
// after workTime, so that whatever it still writes is written while the task is
// its own, as long as clocks differ by less than the rest and the process is not
// halted in the moment between the last look at its time and the write.
const (
	leaseLength = time.Minute
	workTime    = 45 * time.Second
	renewEvery  = 15 * time.Second
	lettingGo   = 3 * time.Second // for the last word about a task, also while stopping
)

// Run indexes documents and sweeps what is gone until ctx ends, and lets
// everything go then.
func (s *Service) Run(ctx context.Context) {
	ctx = store.System(ctx)
	s.reclaim(ctx)
	var all sync.WaitGroup
	for range s.Workers {
		all.Go(func() { s.workOn(ctx) })
	}
	all.Go(func() { s.sweepOn(ctx) })
	all.Wait()
}

// Poke says that there may be a task. It is a hint: workers poll as well.
func (s *Service) Poke() {
	select {
	case s.wake <- struct{}{}:
	default: // one is about to look
	}
}

func (s *Service) workOn(ctx context.Context) {
	for ctx.Err() == nil {
		worked, err := s.step(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			s.Logger.Warn("no task of the library can be claimed", "err", err)
			s.idle(ctx, 5*time.Second)
		case !worked:
			s.idle(ctx, time.Second)
		}
	}
}

// idle waits to be woken, or between d and twice as long: several nodes shall
// not poll in step.
func (s *Service) idle(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d + rand.N(d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-timer.C:
	}
}

// step claims a task and works on it; worked is false when there is none.
func (s *Service) step(ctx context.Context) (worked bool, err error) {
	h, err := s.claim(ctx)
	if errors.Is(err, gatehouse.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	s.Poke() // where one was may be more
	state, err := h.attempt()
	h.settle(state, err)
	return true, nil
}

// hold is a task that is this worker's while ctx is alive.
//
// # Why the index follows the truth
//
// A document has one task row, and the row one holder at a time. Whatever
// changes the truth (added, changed, removed) changes the row in the same
// transaction, so after the last change there is a task that no attempt before
// it can have ended: EndTask compares. It is claimed only when the holder before
// has let it go, or its time is over; and a holder's context, with which all it
// does to the index ends, ends before its time. So what a worker does to a
// document's index happens wholly before what the next one does, and the last
// does what the last change asks for. A worker that dies leaves an index entry
// that is whole (PutDocument), and its task to the next.
//
// A collection has its own task, purge, and an attempt on one of its documents
// may be under way beside it and make the collection in the index once more. Its
// document is removed by the sweeper then, which leaves one more task; and
// unindex takes out the collection where the store does not know it.
//
// What is left is a process that is halted within a write for longer than its
// time. What that leaves, search does not show, and the sweeper compares.
type hold struct {
	*store.Task
	s      *Service
	parent context.Context
	ctx    context.Context
	cancel context.CancelCauseFunc
	over   *time.Timer // ends ctx before the lease does

	mu      sync.Mutex // one renewal at a time, so that the last said is the last known
	renewal sync.WaitGroup
}

// errLost says that the task is another's by now, or its document another.
var errLost = errors.New("the task is lost")

// reclaim frees what this node held when it died, so that nobody waits for those
// leases to end. One process at a time is the node, and what its last one did to
// the index was in transactions, which ended with it or are waited for.
func (s *Service) reclaim(ctx context.Context) {
	err := s.Store.Work(ctx, func(w store.Work) error { return w.FreeTasks(s.holder(), s.Now()) })
	s.told(ctx, "return to what it was doing", err)
}

// holder is how the names of this node's claims begin.
func (s *Service) holder() string { return s.Node + "/" }

// claim takes the next task. Every claim has a name of its own, so that what is
// late never speaks for a later one.
func (s *Service) claim(ctx context.Context) (*hold, error) {
	h := &hold{s: s, parent: ctx}
	name, sent, now := s.holder()+gatehouse.NewID().String(), time.Now(), s.Now()
	err := s.Store.Work(ctx, func(w store.Work) (err error) {
		h.Task, err = w.ClaimTask(name, now, now.Add(leaseLength))
		return err
	})
	if err != nil {
		return nil, err
	}
	h.ctx, h.cancel = context.WithCancelCause(ctx)
	h.over = time.AfterFunc(workTime-time.Since(sent), func() { h.cancel(errLost) })
	h.renewal.Go(h.renew)
	return h, nil
}

// renew holds the task for as long as it is worked on. Where the store does not
// answer it is asked again until the time is over.
func (h *hold) renew() {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-tick.C:
			_ = h.note(nil)
		}
	}
}

// note holds the task longer, and says how far its document has come.
func (h *hold) note(state *gatehouse.DocumentState) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	held, sent, now := false, time.Now(), h.s.Now()
	err := h.s.Store.Work(h.ctx, func(w store.Work) (err error) {
		held, err = w.HoldTask(h.Task, now.Add(leaseLength), state)
		return err
	})
	if err != nil {
		return err
	}
	if !held {
		h.cancel(errLost)
		return errLost
	}
	h.over.Reset(workTime - time.Since(sent))
	return nil
}

// letGo ends what goes on in the background.
func (h *hold) letGo() {
	h.cancel(nil)
	h.over.Stop()
	h.renewal.Wait()
}

// end says that the task is done; done is false when it was lost, or there is
// more to do. A store that is away for a moment does not cost the whole work.
func (h *hold) end(state *gatehouse.DocumentState) (done bool) {
	for {
		err := h.lastWord(func(w store.Work) (err error) {
			done, err = w.EndTask(h.Task, state)
			return err
		})
		if err == nil {
			return done
		}
		if h.ctx.Err() != nil {
			h.log("a task of the library could not be ended: it is done again", err)
			return false
		}
		h.wait(time.Second)
	}
}

// wait lets time pass, unless the task is lost before.
func (h *hold) wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-h.ctx.Done():
	case <-timer.C:
	}
}

// later puts the task back.
func (h *hold) later(due time.Time, state *gatehouse.DocumentState) {
	err := h.lastWord(func(w store.Work) error { return w.LaterTask(h.Task, due, state) })
	if err != nil {
		h.log("a task of the library could not be put back: its lease ends by itself", err)
	}
}

// lastWord speaks of the task when its context may be over.
func (h *hold) lastWord(f func(store.Work) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.parent), lettingGo)
	defer cancel()
	return h.s.Store.Work(ctx, f)
}

func (h *hold) log(message string, err error, more ...any) {
	h.s.Logger.Warn(message, append([]any{"task", string(h.Kind), "team", h.Team.String(), "collection", h.Collection.String(), "file", h.File.String(), "err", err}, more...)...)
}
