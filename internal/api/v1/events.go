package v1

import (
	"context"
	"maps"
	"strings"
	"time"

	"gatehouse"
	v1pb "gatehouse/gen/v1"
	"gatehouse/internal/api"
)

// auditLogs answers /v1/audit-logs.
type auditLogs struct {
	v1pb.UnimplementedAuditLogsServer
}

// ListAuditEvents implements v1pb.AuditLogsServer.
func (auditLogs) ListAuditEvents(ctx context.Context, in *v1pb.ListAuditEventsRequest) (*v1pb.ListAuditEventsResponse, error) {
	filter, err := filterOf(in)
	if err != nil {
		return nil, err
	}
	page, err := pageOf(in.Limit, in.Cursor)
	if err != nil {
		return nil, err
	}
	events, next, err := api.From(ctx).ListEvents(ctx, filter, page)
	if err != nil {
		return nil, spelled(err)
	}
	out := &v1pb.ListAuditEventsResponse{HasMore: next != "", NextCursor: next}
	for _, e := range events {
		out.Events = append(out.Events, event(e))
	}
	return out, nil
}

func filterOf(in *v1pb.ListAuditEventsRequest) (f gatehouse.EventFilter, err error) {
	var bad gatehouse.Violations
	f = gatehouse.EventFilter{
		Action: in.Action, EventID: api.ID("event_id", in.EventId, &bad),
		From: instant("start_time", in.StartTime, 0, &bad), To: instant("end_time", in.EndTime, 1, &bad),
	}
	if strings.Contains(in.Actor, "@") {
		f.Email = in.Actor
	} else if f.UserID, err = gatehouse.ParseID(in.Actor); err != nil && in.Actor != "" {
		bad.Addf("actor", "must be the id or the e-mail address of a person")
	}
	if len(bad) == 0 && !f.To.IsZero() && !f.From.Before(f.To) {
		bad.Addf("end_time", "must be after start_time")
	}
	return f, bad.Err()
}

// instant reads a time; a date means its start, or with days the end of the
// last of so many, in UTC.
func instant(field, s string, days int, bad *gatehouse.Violations) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.DateOnly, s)
	if err == nil {
		t = t.AddDate(0, 0, days)
	} else {
		t, err = time.Parse(time.RFC3339, s)
	}
	if year := t.Year(); err != nil || year < 1970 || year > 9999 {
		bad.Addf(field, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z, or a date")
	}
	return t
}

func event(e gatehouse.EventView) *v1pb.AuditEvent {
	details := maps.Clone(e.Details)
	if name := keyOf(e.Description); e.Kind == gatehouse.KindKey && name != "" {
		if details == nil {
			details = map[string]string{}
		}
		details["key_name"] = name
	}
	return &v1pb.AuditEvent{
		Id: e.ID.String(), Action: e.Action, Actor: actor(e), Timestamp: api.Stamp(e.Time), Details: details,
		Description: e.Description, Result: string(e.Result), ActorId: e.Actor.UserID.String(),
		SubjectType: string(e.Kind), SubjectId: e.Subject,
	}
}

// actor is the person's address, or else the id, or what it was if no person.
func actor(e gatehouse.EventView) string {
	switch {
	case e.User != nil && e.User.Email != "":
		return e.User.Email
	case !e.Actor.UserID.IsZero():
		return e.Actor.UserID.String()
	}
	return string(e.Actor.Kind)
}

// keyOf takes the name out of "API key 'NAME' was …" (docs/reference/audit.md):
// the documents show it among the details, and the log tells it in words.
func keyOf(description string) string {
	_, rest, _ := strings.Cut(description, "API key '")
	end := strings.LastIndex(rest, "' was ")
	if end < 0 {
		return ""
	}
	return rest[:end]
}
