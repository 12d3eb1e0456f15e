package control

import (
	"context"
	"errors"

	"gatehouse"
	"gatehouse/internal/library"
	"gatehouse/internal/store"
)

// stocked is the library where there is one. Who may not ask hears that first.
func (c *Caller) stocked(ctx context.Context, op gatehouse.Operation) (*library.Service, error) {
	if c.s.Library != nil {
		return c.s.Library, nil
	}
	return nil, first(gatehouse.Errorf(gatehouse.Unimplemented, "this installation keeps no library"), c.Authorize(ctx, op))
}

// shelf is a collection of the team that a call means.
func (c *Caller) shelf(v store.View, who *principal, team, id gatehouse.ID) (*gatehouse.Collection, error) {
	t, err := liveTeam(v, who, who.home(team))
	if err != nil {
		return nil, err
	}
	return c.s.Library.Collection(v, t.ID, id)
}

// stock changes what the library keeps: run is one of its rules, with the act
// that is to be written.
func stock[T any](ctx context.Context, c *Caller, op gatehouse.Operation, action, target string,
	run func(lib *library.Service, tx store.Tx, who *principal, act gatehouse.Act) (T, error)) (T, error) {
	lib, err := c.stocked(ctx, op)
	if err != nil {
		var none T
		return none, err
	}
	out, err := mutate(ctx, c, mutation[T]{
		op: op, target: target,
		run: func(tx store.Tx, who *principal) (T, error) {
			return run(lib, tx, who, gatehouse.Act{Action: action, Operation: string(op)})
		},
	})
	if err == nil {
		lib.Poke()
	}
	return out, err
}

// CreateCollection implements gatehouse.Collections.
func (c *Caller) CreateCollection(ctx context.Context, n *gatehouse.Collection) (*gatehouse.CollectionView, error) {
	id := gatehouse.NewID()
	return stock(ctx, c, gatehouse.CreateCollection, "collection.created", n.TeamID.String(),
		func(lib *library.Service, tx store.Tx, who *principal, act gatehouse.Act) (*gatehouse.CollectionView, error) {
			team, err := liveTeam(tx, who, who.home(n.TeamID))
			if err != nil {
				return nil, err
			}
			next := *n
			next.ID, next.TeamID = id, team.ID
			return lib.CreateCollection(tx, &next, act)
		})
}

// GetCollection implements gatehouse.Collections.
func (c *Caller) GetCollection(ctx context.Context, team, id gatehouse.ID) (*gatehouse.CollectionView, error) {
	lib, err := c.stocked(ctx, gatehouse.GetCollectionMetadata)
	if err != nil {
		return nil, err
	}
	return read(ctx, c, query[*gatehouse.CollectionView]{
		op: gatehouse.GetCollectionMetadata, act: reading("collection.read", gatehouse.KindCollection, id.String()),
		run: func(v store.View, who *principal) (*gatehouse.CollectionView, error) {
			found, err := c.shelf(v, who, team, id)
			if err != nil {
				return nil, err
			}
			return lib.View(v, found)
		},
	})
}

// ListCollections implements gatehouse.Collections.
func (c *Caller) ListCollections(ctx context.Context, q gatehouse.LibraryQuery) ([]*gatehouse.CollectionView, string, error) {
	lib, err := c.stocked(ctx, gatehouse.ListCollections)
	if err != nil {
		return nil, "", err
	}
	page, err := survey(ctx, c, query[listed[*gatehouse.CollectionView]]{
		op: gatehouse.ListCollections, act: gatehouse.Act{Action: "collection.listed", Kind: gatehouse.KindCollection, TeamID: q.TeamID},
		check: func(v store.View, who *principal) error {
			_, err := liveTeam(v, who, who.home(q.TeamID))
			return err
		},
		run: func(v store.View, who *principal) (out listed[*gatehouse.CollectionView], err error) {
			team, err := liveTeam(v, who, who.home(q.TeamID))
			if err != nil {
				return out, err
			}
			out.items, out.next, err = lib.ListCollections(v, team.ID, q)
			return out, err
		},
	})
	return page.unpack(err)
}

// UpdateCollection implements gatehouse.Collections. Values of fields that it
// removes are hidden by the act itself and taken out of documents behind it; a
// field that comes back waits for that.
func (c *Caller) UpdateCollection(ctx context.Context, u gatehouse.CollectionUpdate) (*gatehouse.CollectionView, error) {
	out, err := c.updateCollection(ctx, u)
	if errors.Is(err, library.Leftover) {
		for _, d := range u.AddFields {
			c.forget(ctx, u, d.Key)
		}
		out, err = c.updateCollection(ctx, u)
	}
	if err != nil {
		return nil, err
	}
	for _, key := range u.RemoveFields {
		c.forget(ctx, u, key)
	}
	return out, nil
}

func (c *Caller) updateCollection(ctx context.Context, u gatehouse.CollectionUpdate) (*gatehouse.CollectionView, error) {
	return stock(ctx, c, gatehouse.UpdateCollection, "collection.updated", u.ID.String(),
		func(lib *library.Service, tx store.Tx, who *principal, act gatehouse.Act) (*gatehouse.CollectionView, error) {
			before, err := c.shelf(tx, who, u.TeamID, u.ID)
			if err == nil {
				err = c.matches(before.Revision)
			}
			if err != nil {
				return nil, err
			}
			return lib.UpdateCollection(tx, before, u, act)
		})
}

// forgetting bounds the transactions that one request spends on taking values
// of a removed field out of documents: at a hundred documents each, a few
// seconds. What is left is hidden, and goes when the field comes back.
const forgetting = 100

// forget takes values of a removed field out of documents. Its failure is not
// the request's, whose act is done: the values stay hidden.
func (c *Caller) forget(ctx context.Context, u gatehouse.CollectionUpdate, key string) {
	once := *c.call
	once.IdempotencyKey, once.Committed = "", nil // the update's, which has its own
	quiet := &Caller{s: c.s, call: &once}
	for range forgetting {
		more, err := stock(ctx, quiet, gatehouse.UpdateCollection, "document.updated", u.ID.String(),
			func(lib *library.Service, tx store.Tx, who *principal, act gatehouse.Act) (bool, error) {
				shelf, err := c.shelf(tx, who, u.TeamID, u.ID)
				if err != nil {
					return false, err
				}
				return lib.ForgetField(tx, shelf, key, act)
			})
		if err != nil || !more {
			return
		}
	}
}

// DeleteCollection implements gatehouse.Collections.
func (c *Caller) DeleteCollection(ctx context.Context, team, id gatehouse.ID) error {
	_, err := stock(ctx, c, gatehouse.DeleteCollection, "collection.deleted", id.String(),
		func(lib *library.Service, tx store.Tx, who *principal, act gatehouse.Act) (struct{}, error) {
			shelf, err := c.shelf(tx, who, team, id)
			if err == nil {
				err = c.matches(shelf.Revision)
			}
			if err != nil {
				return struct{}{}, err
			}
			return struct{}{}, lib.DeleteCollection(tx, shelf, act)
		})
	return err
}

// DescribeCollection implements gatehouse.Collections. The model is asked after
// the transaction that permits it.
func (c *Caller) DescribeCollection(ctx context.Context, team, id gatehouse.ID) (string, error) {
	lib, err := c.stocked(ctx, gatehouse.GenerateCollectionDescription)
	if err != nil {
		return "", err
	}
	shelf, err := read(ctx, c, query[*gatehouse.Collection]{
		op: gatehouse.GenerateCollectionDescription, act: reading("collection.described", gatehouse.KindCollection, id.String()),
		run: func(v store.View, who *principal) (*gatehouse.Collection, error) { return c.shelf(v, who, team, id) },
	})
	if err != nil {
		return "", err
	}
	return lib.DescribeCollection(ctx, shelf)
}
