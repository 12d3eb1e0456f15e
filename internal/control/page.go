package control

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// defaultPage is the page size of a caller that names none, and the largest
// (contract.md; xAI answers everything at once).
const defaultPage = 1000

// place is where a page ended. It travels sealed.
type place struct {
	Time  time.Time `json:"t,omitzero"`
	ID    string    `json:"i,omitempty"`
	Index int64     `json:"n,omitempty"` // in the audit log
	Bound int64     `json:"b,omitempty"` // the audit log's size when the first page was read
}

// pager opens and seals the page tokens of one list. Where names the team, the
// operation and the filter: a token of another list does not open, which makes
// a foreign one and a forged one the same bad request.
type pager struct {
	sealer sealer
	where  string
	size   int
	after  place
}

func (c *Caller) pager(op gatehouse.Operation, team gatehouse.ID, filter string, page gatehouse.Page) (*pager, error) {
	if page.Size < 0 {
		return nil, gatehouse.Violations{{Field: "pageSize", Problem: "must not be negative"}}.Err()
	}
	p := &pager{
		sealer: c.s.Sealer, size: page.Size,
		where: "page/" + string(op) + "/" + fingerprint(team.String(), filter),
	}
	if p.size == 0 || p.size > defaultPage {
		p.size = defaultPage
	}
	if page.Token == "" {
		return p, nil
	}
	plain, err := p.sealer.OpenPage(p.where, page.Token)
	if err == nil {
		err = json.Unmarshal(plain, &p.after)
	}
	if err != nil {
		return nil, (&gatehouse.Error{
			Code: gatehouse.InvalidArgument, Message: "page token: not one that this list returned",
			Violations: gatehouse.Violations{{Field: "pageToken", Problem: "not one that this list returned"}},
		}).Because(err)
	}
	return p, nil
}

func (p *pager) cursor() store.Cursor { return store.Cursor{Time: p.after.Time, ID: p.after.ID} }

// next seals the place of the following page.
func (p *pager) next(at place) (string, error) {
	plain, err := json.Marshal(at)
	if err != nil {
		return "", err
	}
	return p.sealer.SealPage(p.where, plain)
}

// listed is one page and the token of the next.
type listed[T any] struct {
	items []T
	next  string
}

func (l listed[T]) unpack(err error) ([]T, string, error) { return l.items, l.next, err }

// cut makes a page of what was read with a limit of size+1: one more than
// asked means that there is a next page.
func cut[T any](p *pager, items []T, at func(T) place) (listed[T], error) {
	if len(items) <= p.size {
		return listed[T]{items: items}, nil
	}
	items = items[:p.size]
	next, err := p.next(at(items[len(items)-1]))
	return listed[T]{items, next}, err
}

// slice makes a page of a small set that was read whole, in the order of key.
func slice[T any](p *pager, all []T, key func(T) string) (listed[T], error) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	if p.after.ID != "" {
		all = slices.DeleteFunc(all, func(x T) bool { return key(x) <= p.after.ID })
	}
	if len(all) > p.size+1 {
		all = all[:p.size+1]
	}
	return cut(p, all, func(x T) place { return place{ID: key(x)} })
}

// filterOf spells a filter for a page token.
func filterOf(x any) string {
	b, _ := json.Marshal(x) // of plain structs: cannot fail
	return string(b)
}
