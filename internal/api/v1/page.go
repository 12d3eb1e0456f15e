package v1

import (
	"errors"

	"gatehouse"
)

// list is what lists say they are.
const list = "list"

// paging is what every list takes.
type paging interface {
	GetLimit() int32
	GetCursor() string
	GetAfter() string
}

// readPage reads a page of a contract. A client goes on with the cursor that the
// page before had, or, as with other APIs of this shape, after the id of its
// last object.
func readPage[T any](in paging, id func(T) gatehouse.ID, read func(gatehouse.Page) ([]T, string, error)) ([]T, string, error) {
	page, err := pageOf(in.GetLimit(), in.GetCursor())
	switch {
	case err != nil:
		return nil, "", err
	case in.GetAfter() == "":
		items, next, err := read(page)
		return items, next, spelled(err)
	case in.GetCursor() != "":
		return nil, "", refused("after", "give after or cursor, not both")
	}
	last, err := gatehouse.ParseID(in.GetAfter())
	if err != nil {
		return nil, "", refused("after", "is not the id of an object of this list")
	}
	items, next, err := readAfter(last, page.Size, id, read)
	return items, next, spelled(err)
}

func pageOf(limit int32, cursor string) (gatehouse.Page, error) {
	if limit < 0 {
		return gatehouse.Page{}, refused("limit", "must be 1 to %d", maxPage)
	}
	return gatehouse.Page{Size: int(limit), Token: cursor}, nil
}

// maxPage is the largest page of any list. maxWalk bounds the pages that are
// looked through for an id: who has more objects uses cursors.
const (
	maxPage = 1000
	maxWalk = 20
)

// readAfter looks for an object, and returns what comes after it.
func readAfter[T any](last gatehouse.ID, size int, id func(T) gatehouse.ID, read func(gatehouse.Page) ([]T, string, error)) ([]T, string, error) {
	if size == 0 || size > maxPage {
		size = maxPage
	}
	token := ""
	for range maxWalk {
		items, next, err := read(gatehouse.Page{Size: maxPage, Token: token})
		if err != nil {
			return nil, "", err
		}
		for i, x := range items {
			if id(x) != last {
				continue
			}
			if i == len(items)-1 && next != "" {
				return read(gatehouse.Page{Size: size, Token: next})
			}
			// The same page again, cut where the answer ends: its token leads on from there.
			items, next, err = read(gatehouse.Page{Size: min(maxPage, i+1+size), Token: token})
			return items[min(i+1, len(items)):], next, err
		}
		if next == "" {
			break
		}
		token = next
	}
	return nil, "", refused("after", "names no object of this list; page with cursor")
}

func refused(field, problem string, args ...any) error {
	var bad gatehouse.Violations
	bad.Addf(field, problem, args...)
	return bad.Err()
}

// names are the members of this dialect for those that the contracts name.
var names = map[string]string{
	"acls": "acl", "qpm": "acl.rate_limit.rpm", "tpm": "acl.rate_limit.tpm", "expireTime": "expires_at",
	"pageToken": "cursor", "pageSize": "limit",
}

// spelled names bad members as this dialect does.
func spelled(err error) error {
	var e *gatehouse.Error
	if !errors.As(err, &e) || len(e.Violations) == 0 {
		return err
	}
	var bad gatehouse.Violations
	for _, v := range e.Violations {
		if name := names[v.Field]; name != "" {
			v.Field = name
		}
		bad = append(bad, v)
	}
	out := *e
	out.Violations, out.Message = bad, gatehouse.Public(bad.Err())
	return &out
}
