package library

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

const (
	// maxAttempts is how often what may pass by itself is tried before the document
	// is FAILED: about a quarter of an hour.
	maxAttempts = 12
	// maxDeaths is how many claims of a document may have come to no end.
	maxDeaths     = 5
	shortestWait  = time.Second
	longestWait   = 5 * time.Minute
	longestAdvice = time.Hour // of what whoever refused asked for
)

// lasting is an error that no repetition mends. Its public words are the
// document's problem.
type lasting struct{ error }

func (l lasting) Unwrap() error { return l.error }

// attempt does what the task is for. The state is the one to end it with.
func (h *hold) attempt() (state *gatehouse.DocumentState, err error) {
	err = h.guarded(func() (err error) {
		switch h.Kind {
		case store.TaskIndex:
			state, err = h.index()
			return err
		case store.TaskUnindex:
			return h.unindex()
		case store.TaskPurge:
			return h.s.Index.DeleteCollection(h.ctx, h.Team, h.Collection)
		}
		return gatehouse.Errorf(gatehouse.Internal, "no such task: %s", h.Kind)
	})
	return state, err
}

// died reports whether the document is what its workers died of: LaterTask
// leaves a problem, and a holder that is dead does not. Where there is one, the
// attempts before it ended and are no deaths, so more are allowed.
func (h *hold) died(state gatehouse.DocumentState) bool {
	return h.Attempts >= maxDeaths && state.Problem == "" || h.Attempts >= maxAttempts+maxDeaths
}

// guarded makes an error of a panic: one document shall not end the process.
func (h *hold) guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			what := fmt.Sprintf("%T", p) // not its text, which may be the document's
			if e, ok := p.(runtime.Error); ok {
				what = e.Error()
			}
			err = lasting{gatehouse.Errorf(gatehouse.Internal, "the library failed on it").Because(fmt.Errorf("panic: %s", what))}
			h.log("a panic of the library", err, "stack", string(debug.Stack()))
		}
	}()
	return f()
}

// unindex takes the document out of the index, and the collection with it where
// the store does not know it any more: it may have been made again (see hold).
func (h *hold) unindex() error {
	err := h.s.Store.View(h.ctx, func(v store.View) error {
		_, err := v.Collection(h.Collection)
		return err
	})
	switch {
	case errors.Is(err, gatehouse.NotFound):
		return h.s.Index.DeleteCollection(h.ctx, h.Team, h.Collection)
	case err != nil:
		return err
	}
	return h.s.Index.DeleteDocument(h.ctx, h.Team, h.Collection, h.File)
}

// settle ends the task or puts it back, as the attempt went.
func (h *hold) settle(state *gatehouse.DocumentState, err error) {
	defer h.letGo()
	var last lasting
	switch {
	case err == nil:
		h.ended(state)
	case h.ctx.Err() != nil: // stopping, or lost: whoever is next need not wait for the lease's end
		h.later(h.s.Now(), h.waits("interrupted, and begun again"))
	case h.Kind == store.TaskIndex && errors.As(err, &last):
		h.fail(problem(err))
	case h.Kind == store.TaskIndex && h.Attempts+1 >= maxAttempts:
		h.fail(fmt.Sprintf("given up after %d attempts: %s", maxAttempts, problem(err)))
	default:
		h.retry(err)
	}
}

func (h *hold) ended(state *gatehouse.DocumentState) {
	if h.end(state) && state != nil {
		h.s.counts.indexed.Add(1)
	}
}

// fail ends a document that cannot be indexed. What was indexed of it before it
// changed is taken out first, so that nobody finds what is no longer so.
func (h *hold) fail(words string) {
	err := h.guarded(func() error { return h.s.Index.DeleteDocument(h.ctx, h.Team, h.Collection, h.File) })
	if err != nil {
		h.retry(err)
		return
	}
	if h.end(&gatehouse.DocumentState{Status: gatehouse.DocumentFailed, Problem: words}) {
		h.s.counts.failed.Add(1)
		h.s.Logger.Info("a document could not be indexed", "team", h.Team.String(), "collection", h.Collection.String(), "file", h.File.String(), "problem", words)
	}
}

// retry puts the task back for a while.
func (h *hold) retry(err error) {
	h.s.counts.retried.Add(1)
	wait := pause(h.Attempts, err)
	h.log("a task of the library is tried again", err, "attempts", h.Attempts+1, "wait", wait)
	h.later(h.s.Now().Add(wait), h.waits("tried again: "+problem(err)))
}

// waits is the state of a document that is to be begun again; nil where there is
// none.
func (h *hold) waits(why string) *gatehouse.DocumentState {
	if h.Kind != store.TaskIndex {
		return nil
	}
	return &gatehouse.DocumentState{Status: gatehouse.DocumentProcessing, Problem: why}
}

// pause grows with the attempts, by chance up to a half shorter, and is at least
// what whoever refused asked for.
func pause(attempts int, err error) time.Duration {
	d := min(shortestWait<<min(attempts, 20), longestWait)
	d -= rand.N(d / 2)
	var e *gatehouse.Error
	if errors.As(err, &e) {
		d = max(d, min(e.RetryAfter, longestAdvice))
	}
	return d
}

// problem is the public words for an error, within what a record holds.
func problem(err error) string {
	words := []rune(gatehouse.Public(err))
	return string(words[:min(len(words), 500)])
}
