// Package xai is the dialect of xAI's Management API: /auth, /audit,
// /v1/billing/teams and /v1/collections. Every method decodes, calls one contract and encodes;
// what may be done and what is valid is decided behind the contract.
package xai

import (
	"context"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"gatehouse/gen/auditlog"
	"gatehouse/gen/authmgmt"
	"gatehouse/gen/billing"
	"gatehouse/internal/api"
)

// Handler serves this dialect alone.
func Handler(b api.Backend, o api.Options) http.Handler {
	return api.New(b, o, Face(), CollectionsFace())
}

// Face is what of this dialect is in camelCase, for api.New.
func Face() api.Face {
	return api.Face{
		Name:  "xAI",
		About: "xAI's Management API: keys, discovery, audit and usage, as scripts written for it expect them.",
		Services: []protoreflect.ServiceDescriptor{
			authmgmt.File_auth_mgmt_auth_proto.Services().ByName("AuthManagement"),
			auditlog.File_audit_audit_proto.Services().ByName("AuditLog"),
			billing.File_prod_mc_billing_billing_proto.Services().ByName("UISvc"),
		},
		Register: register, Under: []string{"/v1/billing/teams/"},
		GRPC: func(s grpc.ServiceRegistrar) { billing.RegisterUISvcServer(s, bills{}) },
		// xAI writes acls in requests and aclStrings in answers, and scripts
		// send back what they were given (wire.md §10.1, 2).
		Aliases: map[protoreflect.FullName]map[string]string{
			"auth_mgmt.ApiKey":              {"acls": "acl_strings"},
			"auth_mgmt.CreateApiKeyRequest": {"aclStrings": "acls", "acl_strings": "acls"},
		},
	}
}

func register(mux *runtime.ServeMux) error {
	ctx := context.Background()
	if err := authmgmt.RegisterAuthManagementHandlerServer(ctx, mux, auth{}); err != nil {
		return err
	}
	if err := auditlog.RegisterAuditLogHandlerServer(ctx, mux, audit{}); err != nil {
		return err
	}
	return billing.RegisterUISvcHandlerServer(ctx, mux, bills{})
}
