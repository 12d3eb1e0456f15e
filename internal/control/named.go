package control

import (
	"context"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// never is the delete time of what is there.
var never time.Time

// put creates or replaces a record that is known by its name. Which of the two
// operations it is the route says; where none did, it follows from what is
// stored. That is looked at once before, to choose the scope, and again in the
// transaction, which refuses when that changed the answer.
func put[T any](ctx context.Context, c *Caller, create, update gatehouse.Operation, name string,
	write func(store.Tx, gatehouse.Operation) (T, error), exists func(store.View) (bool, error)) (T, error) {
	var none T
	if err := c.Authenticate(ctx); err != nil {
		return none, err
	}
	var there bool
	err := c.s.Store.View(store.System(ctx), func(v store.View) (err error) {
		there, err = exists(v)
		return err
	})
	if err != nil {
		return none, err
	}
	asked := c.call.Operation
	op := asked
	switch {
	case asked == create || asked == update:
	case there:
		op = update
	default:
		op = create
	}
	return mutate(ctx, c, mutation[T]{
		op: op, target: name,
		run: func(tx store.Tx, _ *principal) (T, error) {
			still, err := exists(tx)
			if err == nil && still != (op == update) {
				err = unexpected(asked, create, update, name)
			}
			if err != nil {
				return none, err
			}
			return write(tx, op)
		},
	})
}

// unexpected is the answer when a record is there that should not be, or the
// reverse.
func unexpected(asked, create, update gatehouse.Operation, name string) error {
	noun := strings.ToLower(strings.TrimPrefix(string(create), "Create"))
	switch asked {
	case create:
		return gatehouse.Errorf(gatehouse.AlreadyExists, "a %s named '%s' exists", noun, short(name))
	case update:
		return missing(noun)
	}
	return gatehouse.Errorf(gatehouse.Conflict, "%s was changed by another request just now", short(name))
}

// get reads one record of those that all teams share; nil is one that is not there.
func get[T any](ctx context.Context, c *Caller, op gatehouse.Operation, act gatehouse.Act, look func(store.View) (*T, error)) (*T, error) {
	return read(ctx, c, query[*T]{
		op: op, act: act,
		run: func(v store.View, _ *principal) (*T, error) {
			x, err := look(v)
			if err == nil && x == nil {
				err = missing(string(act.Kind))
			}
			return x, err
		},
	})
}

// drop deletes a record that is known by its name.
func drop(ctx context.Context, c *Caller, op gatehouse.Operation, name string, write func(store.Tx) error) error {
	_, err := mutate(ctx, c, mutation[struct{}]{
		op: op, target: name,
		run: func(tx store.Tx, _ *principal) (struct{}, error) { return struct{}{}, write(tx) },
	})
	return err
}

// perishable is a record that leaves a tombstone.
type perishable interface {
	gatehouse.Model | gatehouse.Alias | gatehouse.Price | gatehouse.Cluster | gatehouse.Upstream
}

// present is found, with tombstones left out too.
func present[T perishable](x *T, err error) (*T, error) {
	x, err = found(x, err)
	if x == nil || err != nil || deleteTime(x).IsZero() {
		return x, err
	}
	return nil, nil
}

func deleteTime(x any) time.Time {
	switch r := x.(type) {
	case *gatehouse.Model:
		return r.DeleteTime
	case *gatehouse.Alias:
		return r.DeleteTime
	case *gatehouse.Price:
		return r.DeleteTime
	case *gatehouse.Cluster:
		return r.DeleteTime
	case *gatehouse.Upstream:
		return r.DeleteTime
	}
	return never
}

// title begins a sentence.
func title(noun string) string { return strings.ToUpper(noun[:1]) + noun[1:] }
