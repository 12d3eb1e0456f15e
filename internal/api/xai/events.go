package xai

import (
	"context"

	"gatehouse"
	"gatehouse/gen/auditlog"
	"gatehouse/internal/api"
)

// audit answers /audit.
type audit struct {
	auditlog.UnimplementedAuditLogServer
}

// ListAuditEvents implements auditlog.AuditLogServer.
func (audit) ListAuditEvents(ctx context.Context, in *auditlog.ListAuditEventsRequest) (*auditlog.ListAuditEventsResponse, error) {
	page, err := api.Page(in.PageSize, in.PageToken)
	if err != nil {
		return nil, err
	}
	var bad gatehouse.Violations
	filter := gatehouse.EventFilter{
		TeamID: api.PathID(in.TeamId), Query: in.EventFilter.GetQuery(), Action: in.EventFilter.GetAction(),
		UserID:  api.ID("eventFilter.userId", in.EventFilter.GetUserId(), &bad),
		EventID: api.ID("eventFilter.eventId", in.EventFilter.GetEventId(), &bad),
		From:    api.Time(in.EventTimeFrom), To: api.Time(in.EventTimeTo),
		Ascending: in.OrderBy == auditlog.OrderBy_TIME_ASCENDING,
	}
	if err := bad.Err(); err != nil {
		return nil, err
	}
	events, next, err := api.From(ctx).ListEvents(ctx, filter, page)
	out := &auditlog.ListAuditEventsResponse{NextPageToken: next}
	for _, e := range events {
		out.Events = append(out.Events, &auditlog.AuditEvent{
			EventTime: api.Stamp(e.Time), EventId: e.ID.String(), Description: e.Description, User: person(e.User),
		})
	}
	return out, err
}

func person(u *gatehouse.User) *auditlog.AuditUser {
	if u == nil {
		return nil
	}
	return &auditlog.AuditUser{
		UserId: u.ID.String(), Email: u.Email, GivenName: u.GivenName, FamilyName: u.FamilyName,
		ProfileImage: u.ProfileImage, ProfileImageUrl: u.ProfileImage,
	}
}
