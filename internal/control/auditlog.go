package control

import (
	"bytes"
	"context"
	"errors"

	"gatehouse"
	"gatehouse/internal/store"
)

// ListEvents implements gatehouse.AuditLog. The log is read as it was when the
// first page was: reading adds a leaf, so an ascending list that followed its
// own tail would never end.
func (c *Caller) ListEvents(ctx context.Context, f gatehouse.EventFilter, page gatehouse.Page) ([]gatehouse.EventView, string, error) {
	f.After, f.Limit = -1, 0
	var bound int64
	out, err := survey(ctx, c, query[listed[gatehouse.EventView]]{
		op: gatehouse.ListAuditEvents, act: gatehouse.Act{Action: "audit.read", Kind: gatehouse.KindTeam, TeamID: f.TeamID},
		check: func(v store.View, who *principal) error {
			team, err := liveTeam(v, who, who.home(f.TeamID))
			if err != nil {
				return err
			}
			f.TeamID = team.ID
			tree, err := v.Tree()
			bound = tree.Size
			return err
		},
		run: func(v store.View, who *principal) (out listed[gatehouse.EventView], err error) {
			if f.Email != "" {
				if f.UserID, err = byEmail(v, f.TeamID, f.Email); err != nil {
					return out, err
				}
			}
			return c.events(v, who, f, page, bound)
		},
	})
	return out.unpack(err)
}

// nobody did nothing: the Max UUID (RFC 9562), which no person has.
var nobody = gatehouse.ID(bytes.Repeat([]byte{0xff}, 16))

// byEmail finds a person of a team; nobody is somebody too, so that a page token
// is judged whoever is asked for.
func byEmail(v store.View, team gatehouse.ID, email string) (gatehouse.ID, error) {
	u, err := found(v.UserByEmail(team, email))
	if u == nil || err != nil {
		return nobody, err
	}
	return u.ID, nil
}

// events reads one page. A descending list starts below the bound; an ascending
// one stops at it.
func (c *Caller) events(v store.View, who *principal, f gatehouse.EventFilter, page gatehouse.Page, bound int64) (out listed[gatehouse.EventView], err error) {
	p, err := c.pager(gatehouse.ListAuditEvents, f.TeamID, filterOf(f), page)
	if err != nil {
		return out, err
	}
	first := p.after.Bound == 0
	if first {
		p.after.Bound = bound
	}
	switch {
	case !first:
		f.After = p.after.Index
	case !f.Ascending:
		f.After = bound // descending starts below it
	}
	f.Limit = p.size + 1
	events, err := v.Events(f)
	if err != nil {
		return out, err
	}
	var views []gatehouse.EventView
	for _, e := range events {
		if e.Index >= p.after.Bound {
			break // ascending: the rest is younger than the list
		}
		person, err := personOf(v, who, f.TeamID, e.Actor.UserID)
		if err != nil {
			return out, err
		}
		views = append(views, gatehouse.EventView{Event: e, User: person})
	}
	return cut(p, views, func(e gatehouse.EventView) place { return place{Index: e.Index, Bound: p.after.Bound} })
}

// personOf is the person behind an event, nil when erased. Somebody of another
// team, who acted through a key of the organization, is shown to that team by
// id alone.
func personOf(v store.View, who *principal, team, id gatehouse.ID) (*gatehouse.User, error) {
	if id.IsZero() {
		return nil, nil
	}
	u, err := found(v.User(id))
	if err != nil || u == nil || !u.DeleteTime.IsZero() {
		return nil, err
	}
	if who.Scope != gatehouse.ScopeOrganization && u.TeamID != team {
		return &gatehouse.User{ID: id}, nil
	}
	return u, nil
}

// maxExport bounds the leaves of one export call; the reader comes again with
// the index after the last it saw.
const maxExport = 10_000

var errEnough = errors.New("enough leaves")

// ExportAudit implements gatehouse.AuditLog. The leaves are gathered before
// the first is yielded, so that a slow reader holds no snapshot open.
func (c *Caller) ExportAudit(ctx context.Context, from int64, limit int, yield func(gatehouse.AuditLeaf) error) error {
	if from < 0 || limit < 0 {
		err := gatehouse.Violations{{Field: "from", Problem: "from and limit must not be negative"}}.Err()
		return first(err, c.Authorize(ctx, gatehouse.ExportAuditEvents))
	}
	if limit == 0 || limit > maxExport {
		limit = maxExport
	}
	leaves, err := survey(ctx, c, query[[]gatehouse.AuditLeaf]{
		op: gatehouse.ExportAuditEvents, act: gatehouse.Act{Action: "audit.exported", Kind: gatehouse.KindInstallation},
		run: func(v store.View, _ *principal) ([]gatehouse.AuditLeaf, error) { return leavesFrom(v, from, limit) },
	})
	if err != nil {
		return err
	}
	for _, l := range leaves {
		if err := yield(l); err != nil {
			return err
		}
	}
	return nil
}

// leavesFrom reads no further than it must: a log has millions of leaves.
func leavesFrom(v store.View, from int64, limit int) (out []gatehouse.AuditLeaf, err error) {
	err = v.Leaves(from, func(l store.Leaf) error {
		if len(out) == limit {
			return errEnough
		}
		out = append(out, gatehouse.AuditLeaf(l))
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}
