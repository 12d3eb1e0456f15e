// Package admin is Gatehouse's own management API, /admin/v1: what an operator
// runs here and xAI runs for its customers. Bodies are the objects themselves
// in camelCase proto JSON; errors have the shape of /auth.
package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse"
	adminpb "gatehouse/gen/admin"
	billingpb "gatehouse/gen/adminbilling"
	budgetspb "gatehouse/gen/budgets"
	peoplepb "gatehouse/gen/people"
	"gatehouse/internal/api"
)

// Handler serves this face alone.
func Handler(b api.Backend, o api.Options) http.Handler { return api.New(b, o, Face()) }

// Face is this dialect for api.New.
func Face() api.Face {
	return api.Face{
		Name:  "Admin",
		About: "Gatehouse's own management API: what an operator runs here and xAI runs for its customers.",
		Services: []protoreflect.ServiceDescriptor{
			adminpb.File_gatehouse_admin_v1_admin_proto.Services().ByName("Admin"),
			budgetspb.File_gatehouse_admin_v1_budgets_proto.Services().ByName("Budgets"),
			budgetspb.File_gatehouse_admin_v1_budgets_proto.Services().ByName("Alerts"),
			billingpb.File_gatehouse_admin_v1_billing_proto.Services().ByName("BillingAdmin"),
			peoplepb.File_gatehouse_admin_v1_people_proto.Services().ByName("People"),
		},
		Register: func(mux *runtime.ServeMux) error {
			ctx := context.Background()
			return errors.Join(
				adminpb.RegisterAdminHandlerServer(ctx, mux, service{}),
				budgetspb.RegisterBudgetsHandlerServer(ctx, mux, budgets{}),
				budgetspb.RegisterAlertsHandlerServer(ctx, mux, alerts{}),
				billingpb.RegisterBillingAdminHandlerServer(ctx, mux, treasury{}),
				peoplepb.RegisterPeopleHandlerServer(ctx, mux, folk{}),
			)
		},
		Plain: []api.Plain{{
			Method: http.MethodGet, Path: "/admin/v1/audit-log", Operation: gatehouse.ExportAuditEvents,
			Query: []string{"since", "limit"}, Handle: export, Doc: exportDoc,
		}, {
			Method: http.MethodGet, Path: "/admin/v1/usage", Operation: gatehouse.AnalyzeBillingItems,
			Query: usageParameters, Handle: usageCSV, Doc: usageDoc,
		}, invoiceFile("pdf", "application/pdf", "%PDF-1.3", invoicePDF),
			invoiceFile("csv", "text/csv", "invoice_number,cycle,row\n742-250-927-721,2025-11,line\n", invoiceCSV)},
		Aliases: map[protoreflect.FullName]map[string]string{
			"gatehouse.admin.v1.ApiKey": {"acls": "acl_strings", "ownerId": "owner_user_id"},
		},
	}
}

// service answers /admin/v1. It has no state: who asks, and for what, is in
// the context of each call.
type service struct {
	adminpb.UnimplementedAdminServer
}

// one decodes nothing, and encodes what a contract returned for one record
// that has a revision.
func one[T, W any](ctx context.Context, encode func(T) W, revision func(T) gatehouse.Revision) func(T, error) (W, error) {
	return func(v T, err error) (W, error) {
		if err != nil {
			var none W
			return none, err
		}
		api.From(ctx).ETag(revision(v))
		return encode(v), nil
	}
}

// list runs a paged contract and encodes each element.
func list[T, W any](size int32, token string, read func(gatehouse.Page) ([]T, string, error), encode func(T) W) ([]W, *string, error) {
	page, err := api.Page(size, token)
	if err != nil {
		return nil, nil, err
	}
	all, next, err := read(page)
	if err != nil {
		return nil, nil, err
	}
	out := make([]W, len(all))
	for i, v := range all {
		out[i] = encode(v)
	}
	return out, api.Next(next), nil
}

// fields says which members of a record an update names, in the JSON names
// that gatehouse.Overlay reads: the wire's own.
func fields(ctx context.Context, mask []string) {
	out := []string{}
	for _, name := range mask {
		out = append(out, api.Camel(name))
	}
	api.From(ctx).Call.Fields = out
}
