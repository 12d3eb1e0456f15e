package client

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"gatehouse"
	"gatehouse/gen/auditlog"
	"gatehouse/internal/audit"
)

// ListEvents implements gatehouse.AuditLog. The wire shows of an event what
// xAI's does: when, its id, a description and the person.
func (c *Client) ListEvents(ctx context.Context, f gatehouse.EventFilter, p gatehouse.Page) ([]gatehouse.EventView, string, error) {
	team, err := c.team(ctx, f.TeamID)
	if err != nil {
		return nil, "", err
	}
	size, after := page(p)
	query := &auditlog.ListAuditEventsRequest{
		PageSize: size, PageToken: after, EventTimeFrom: stamp(f.From), EventTimeTo: stamp(f.To),
		EventFilter: &auditlog.EventFilter{UserId: f.UserID.String(), Query: f.Query, EventId: f.EventID.String(), Action: f.Action},
	}
	if f.Ascending {
		query.OrderBy = auditlog.OrderBy_TIME_ASCENDING
	}
	out, err := call[auditlog.ListAuditEventsResponse](ctx, c, request{method: http.MethodGet, path: under("/audit/teams", team.String()) + "/events", query: query})
	return each(out.GetEvents(), func(e *auditlog.AuditEvent) gatehouse.EventView { return eventFrom(e, team) }), out.GetNextPageToken(), err
}

func eventFrom(e *auditlog.AuditEvent, team gatehouse.ID) gatehouse.EventView {
	out := gatehouse.EventView{Event: gatehouse.Event{
		ID: id(e.EventId), Time: moment(e.EventTime), Act: gatehouse.Act{TeamID: team, Description: e.Description},
	}}
	if u := e.User; u != nil {
		out.Actor.UserID = id(u.UserId)
		out.User = &gatehouse.User{ID: id(u.UserId), Email: u.Email, GivenName: u.GivenName, FamilyName: u.FamilyName, ProfileImage: u.ProfileImage}
	}
	return out
}

// maxLeaf bounds a line of an export, in which bytes are in base64.
const maxLeaf = 2 << 20

// ExportAudit implements gatehouse.AuditLog. Leaves are handed on as they
// arrive: an export may be larger than memory.
func (c *Client) ExportAudit(ctx context.Context, from int64, limit int, yield func(gatehouse.AuditLeaf) error) error {
	res, err := c.send(ctx, request{method: http.MethodGet,
		path: "/admin/v1/audit-log?since=" + strconv.FormatInt(from, 10) + "&limit=" + strconv.Itoa(limit)})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 64<<10), maxLeaf)
	for lines.Scan() {
		var leaf gatehouse.AuditLeaf
		if err := json.Unmarshal(lines.Bytes(), &leaf); err != nil || len(leaf.Body) == 0 {
			return gatehouse.Errorf(gatehouse.Unavailable, "the export broke off after a part of a leaf").Because(err)
		}
		if err := yield(leaf); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return c.unreachable(ctx, err)
	}
	return nil
}

// WriteExport writes the log from an index on to w, in the lines that the
// offline verifier reads, until the end of the log. It returns the index that
// the next export starts at; after an error, that of the leaf after the last
// one written whole.
func (c *Client) WriteExport(ctx context.Context, from int64, w io.Writer) (next int64, err error) {
	next = from
	for {
		before := next
		err = c.ExportAudit(ctx, before, exportPage, func(l gatehouse.AuditLeaf) error {
			if _, err := w.Write(audit.ExportLine(audit.Leaf(l))); err != nil {
				return err
			}
			next = l.Index + 1
			return nil
		})
		// Exporting adds a leaf of its own, so a log that is followed to its
		// very end has none. A page that is not full is the end.
		if err != nil || next-before < exportPage {
			return next, err
		}
	}
}

// exportPage is how many leaves WriteExport asks for at once.
const exportPage = 5000
