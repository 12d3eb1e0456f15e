// Package v1 is the dialect of the documents whose paths name no team:
// /v1/api-keys, /v1/billing, /v1/usage, /v1/team and /v1/audit-logs. Answers are
// in snake_case, numbers are JSON numbers, errors are {"error":{"code","message"}}.
// The objects are the same as in every dialect; docs/reference/dialects.md says
// what of one is called what in the other.
package v1

import (
	"context"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	v1pb "gatehouse/gen/v1"
	"gatehouse/internal/api"
)

// Handler serves this face alone.
func Handler(b api.Backend, o api.Options) http.Handler { return api.New(b, o, Face()) }

// Face is this dialect for api.New.
func Face() api.Face {
	services := v1pb.File_gatehouse_v1_v1_proto.Services()
	face := api.Face{
		Name:     "v1",
		About:    "The dialect whose paths name no team: snake_case, JSON numbers, errors with a word for a code.",
		Register: register, ProtoNames: true, Errors: api.WordErrors, Under: []string{"/v1/"}, Teamless: true,
	}
	for i := range services.Len() {
		face.Services = append(face.Services, services.Get(i))
	}
	return face
}

func register(mux *runtime.ServeMux) error {
	ctx := context.Background()
	for _, err := range []error{
		v1pb.RegisterApiKeysHandlerServer(ctx, mux, keys{}),
		v1pb.RegisterBillingHandlerServer(ctx, mux, billing{}),
		v1pb.RegisterCreditsHandlerServer(ctx, mux, credits{}),
		v1pb.RegisterUsageHandlerServer(ctx, mux, usage{}),
		v1pb.RegisterTeamHandlerServer(ctx, mux, team{}),
		v1pb.RegisterAuditLogsHandlerServer(ctx, mux, auditLogs{}),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}
