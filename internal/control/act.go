package control

import (
	"context"

	"gatehouse"
	"gatehouse/internal/store"
)

// mutation is one use-case that writes.
type mutation[T any] struct {
	op     gatehouse.Operation
	target string // what the request is aimed at; part of what an Idempotency-Key stands for
	secret bool   // the answer carries a token
	// run decides and writes. It may run more than once, so it must leave
	// nothing behind but what it returns and what it put.
	run func(tx store.Tx, who *principal) (T, error)
}

// mutate runs m for c: authorise, replay or run, remember, commit.
func mutate[T any](ctx context.Context, c *Caller, m mutation[T]) (T, error) {
	var out, none T
	who, err := c.identify(ctx, m.op)
	if err != nil {
		return none, err
	}
	once, err := newReplay(c, who, m.op, m.target, m.secret)
	if err != nil {
		return none, err
	}
	defer once.leave()
	var caller *principal
	var replayed gatehouse.Revision
	rev, err := c.s.Store.Update(who.scoped(ctx), c.cause(who), func(tx store.Tx) error {
		out, replayed = none, gatehouse.Revision{}
		var err error
		if caller, err = c.authorise(tx, m.op); err != nil {
			return err
		}
		var found bool
		if replayed, found, err = recall(once, tx, caller, &out); found || err != nil {
			return err
		}
		if out, err = m.run(tx, caller); err != nil {
			return err
		}
		return remember(once, tx, caller, &out)
	})
	if err != nil {
		c.refuse(ctx, caller, m.op, err, m.target)
		return none, err
	}
	if !replayed.IsZero() {
		rev = replayed
	}
	if c.call.Committed == nil {
		c.call.Committed = new(gatehouse.Revision)
	}
	*c.call.Committed = rev
	return out, nil
}

// query is one use-case that reads.
type query[T any] struct {
	op  gatehouse.Operation
	act gatehouse.Act // what is written about it; op, result and a missing team are filled in
	run func(v store.View, who *principal) (T, error)
	// check, for survey alone, is what must hold before the answer is sought.
	check func(v store.View, who *principal) error
}

// read runs q and records it in one transaction, so that the log's order is
// the order in which things were seen. A look-up that found nothing is
// recorded too: who asked for another team's ids is worth knowing.
func read[T any](ctx context.Context, c *Caller, q query[T]) (T, error) {
	var out, none T
	who, err := c.identify(ctx, q.op)
	if err != nil {
		return none, err
	}
	var caller *principal
	var missed error
	_, err = c.s.Store.Update(who.scoped(ctx), c.cause(who), func(tx store.Tx) error {
		out, missed = none, nil
		var err error
		if caller, err = c.authorise(tx, q.op); err != nil {
			return err
		}
		if out, err = q.run(tx, caller); gatehouse.CodeOf(err) == gatehouse.NotFound {
			missed, err = err, nil
		}
		if err != nil {
			return err
		}
		return tx.Record(q.leaf(caller, missed != nil))
	})
	if err != nil {
		c.refuse(ctx, caller, q.op, err, q.act.Subject)
		return none, err
	}
	return out, missed
}

// survey is read for what may take long: the leaf first, then the answer from
// a snapshot that holds it. The writer is not kept from a revocation by
// somebody's year of usage.
func survey[T any](ctx context.Context, c *Caller, q query[T]) (T, error) {
	var out, none T
	var who *principal
	permit := q
	permit.run = func(v store.View, allowed *principal) (T, error) {
		who = allowed
		if q.check == nil {
			return none, nil
		}
		return none, q.check(v, allowed)
	}
	if _, err := read(ctx, c, permit); err != nil {
		return none, err
	}
	err := c.s.Store.View(who.scoped(ctx), func(v store.View) (err error) {
		if who, err = c.authorise(v, q.op); err != nil {
			return err
		}
		out, err = q.run(v, who)
		return err
	})
	if err != nil {
		c.refuse(ctx, who, q.op, err, q.act.Subject)
		return none, err
	}
	return out, nil
}

func (q query[T]) leaf(who *principal, missed bool) gatehouse.Act {
	a := q.act
	a.Operation, a.Result = string(q.op), gatehouse.Read
	if a.TeamID = who.home(a.TeamID); !who.reaches(a.TeamID) {
		a.TeamID = who.TeamID
	}
	if a.Description == "" {
		a.Description = string(q.op) + " was called"
	}
	if missed {
		a.Subject = sought(a.Subject)
	}
	if a.Subject != "" {
		a.Description += " for " + short(a.Subject)
	}
	if missed {
		a.Details = map[string]string{"found": "false"}
	}
	return a
}

// sought is what was asked for and is not there. An id is kept whole; of any
// other text only the beginning, since it names nothing here and may be a key
// that was pasted in the wrong place, which a log that forgets nothing must
// not hold.
func sought(subject string) string {
	const most = 16
	r := []rune(subject)
	if _, err := gatehouse.ParseID(subject); err == nil || len(r) <= most {
		return subject
	}
	return string(r[:most]) + "…"
}

// reading describes a read for the log.
func reading(action string, kind gatehouse.Kind, subject string) gatehouse.Act {
	return gatehouse.Act{Action: action, Kind: kind, Subject: subject}
}

// done describes a mutation for the log.
func done(op gatehouse.Operation, action string, team gatehouse.ID, kind gatehouse.Kind, subject, description string) gatehouse.Act {
	return gatehouse.Act{
		Action: action, Operation: string(op), TeamID: team, Kind: kind, Subject: subject,
		Description: description, Result: gatehouse.Done,
	}
}

// matches checks If-Match against the stored revision, both the header's and
// the one in an update.
func (c *Caller) matches(stored gatehouse.Revision, wanted ...gatehouse.Revision) error {
	for _, want := range append(wanted, c.call.IfMatch) {
		if !want.IsZero() && want != stored {
			return gatehouse.Errorf(gatehouse.Conflict, "If-Match is %s and the stored revision is %s", want, stored)
		}
	}
	return nil
}

// missing is the answer for an id that is not there or is another team's: the
// same bytes, so that neither can be told from the other.
func missing(what string) error { return gatehouse.Errorf(gatehouse.NotFound, "Cannot find %s", what) }
