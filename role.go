package gatehouse

import (
	"slices"
	"strings"
)

// Operation is the RPC name of one management operation. A management key
// may call it when its ACL has team-token:endpoint:NAME, or :*.
type Operation string

// The operations of the management plane. The first three names are xAI's
// documented ones; docs/reference/scopes.md is generated from this list.
const (
	ListApiKeys              Operation = "ListApiKeys"
	ImportApiKeys            Operation = "ImportApiKeys"
	CheckApiKeyPropagation   Operation = "CheckApiKeyPropagation"
	ListPossibleEndpointAcls Operation = "ListPossibleEndpointAcls"
	ListPossibleModelAcls    Operation = "ListPossibleModelAcls"
	CreateApiKey             Operation = "CreateApiKey"
	GetApiKey                Operation = "GetApiKey"
	UpdateApiKey             Operation = "UpdateApiKey"
	RotateApiKey             Operation = "RotateApiKey"
	DeleteApiKey             Operation = "DeleteApiKey"
	ValidateManagementKey    Operation = "ValidateManagementKey" // needs no ACL
	ListTeams                Operation = "ListTeams"
	ListAuditEvents          Operation = "ListAuditEvents"
	ExportAuditEvents        Operation = "ExportAuditEvents"
	AnalyzeBillingItems      Operation = "AnalyzeBillingItems"

	CreateManagementKey Operation = "CreateManagementKey"
	ListManagementKeys  Operation = "ListManagementKeys"
	GetManagementKey    Operation = "GetManagementKey"
	RotateManagementKey Operation = "RotateManagementKey"
	RevokeManagementKey Operation = "RevokeManagementKey"

	GetTeam    Operation = "GetTeam"
	CreateTeam Operation = "CreateTeam"
	UpdateTeam Operation = "UpdateTeam"
	ListUsers  Operation = "ListUsers"
	GetUser    Operation = "GetUser"
	CreateUser Operation = "CreateUser"
	UpdateUser Operation = "UpdateUser"

	ListUpstreams  Operation = "ListUpstreams"
	GetUpstream    Operation = "GetUpstream"
	CreateUpstream Operation = "CreateUpstream"
	UpdateUpstream Operation = "UpdateUpstream"
	DeleteUpstream Operation = "DeleteUpstream"
	TestUpstream   Operation = "TestUpstream"

	ListModels    Operation = "ListModels"
	GetModel      Operation = "GetModel"
	CreateModel   Operation = "CreateModel"
	UpdateModel   Operation = "UpdateModel"
	DeleteModel   Operation = "DeleteModel"
	ListAliases   Operation = "ListAliases"
	GetAlias      Operation = "GetAlias"
	CreateAlias   Operation = "CreateAlias"
	UpdateAlias   Operation = "UpdateAlias"
	DeleteAlias   Operation = "DeleteAlias"
	ListPrices    Operation = "ListPrices"
	GetPrice      Operation = "GetPrice"
	CreatePrice   Operation = "CreatePrice"
	DeletePrice   Operation = "DeletePrice"
	ListClusters  Operation = "ListClusters"
	GetCluster    Operation = "GetCluster"
	CreateCluster Operation = "CreateCluster"
	UpdateCluster Operation = "UpdateCluster"
	DeleteCluster Operation = "DeleteCluster"
	ListGateways  Operation = "ListGateways"
	GetGateway    Operation = "GetGateway"
	ForgetGateway Operation = "ForgetGateway"

	CreateJoinToken Operation = "CreateJoinToken"
	ListJoinTokens  Operation = "ListJoinTokens"
	GetJoinToken    Operation = "GetJoinToken"
	RevokeJoinToken Operation = "RevokeJoinToken"

	GetBillingInfo                  Operation = "GetBillingInfo"
	SetBillingInfo                  Operation = "SetBillingInfo"
	ListInvoices                    Operation = "ListInvoices"
	ListPaymentMethods              Operation = "ListPaymentMethods"
	SetDefaultPaymentMethod         Operation = "SetDefaultPaymentMethod"
	GetAmountToPay                  Operation = "GetAmountToPay"
	GetSpendingLimits               Operation = "GetSpendingLimits"
	SetSoftSpendingLimit            Operation = "SetSoftSpendingLimit"
	ListPrepaidBalanceChanges       Operation = "ListPrepaidBalanceChanges"
	TopUpOrGetExistingPendingChange Operation = "TopUpOrGetExistingPendingChange"
	GetBillingSummary               Operation = "GetBillingSummary"
	GetInvoice                      Operation = "GetInvoice"

	ListTopUps           Operation = "ListTopUps"
	ConfirmTopUp         Operation = "ConfirmTopUp"
	FailTopUp            Operation = "FailTopUp"
	RefundTopUp          Operation = "RefundTopUp"
	GrantCredit          Operation = "GrantCredit"
	UpdateBillingAccount Operation = "UpdateBillingAccount"
	CloseBillingCycle    Operation = "CloseBillingCycle"
	SettleInvoice        Operation = "SettleInvoice"
	ListPostings         Operation = "ListPostings"
	GetTrialBalance      Operation = "GetTrialBalance"
	ListHolds            Operation = "ListHolds"
	WriteOffHold         Operation = "WriteOffHold"
	RerateUsage          Operation = "RerateUsage"

	ListBudgets      Operation = "ListBudgets"
	GetBudget        Operation = "GetBudget"
	CreateBudget     Operation = "CreateBudget"
	UpdateBudget     Operation = "UpdateBudget"
	DeleteBudget     Operation = "DeleteBudget"
	ListBudgetStates Operation = "ListBudgetStates"
	CreateAlertHook  Operation = "CreateAlertHook"
	ListAlertHooks   Operation = "ListAlertHooks"
	DeleteAlertHook  Operation = "DeleteAlertHook"
	ListAlerts       Operation = "ListAlerts"

	ListMembers         Operation = "ListMembers"
	UpdateMember        Operation = "UpdateMember"
	RemoveMember        Operation = "RemoveMember"
	CreateInvitation    Operation = "CreateInvitation"
	ListInvitations     Operation = "ListInvitations"
	RevokeInvitation    Operation = "RevokeInvitation"
	AcceptInvitation    Operation = "AcceptInvitation" // needs an invitation's token, and no ACL
	ListOrphanedApiKeys Operation = "ListOrphanedApiKeys"
	GetSignInMethod     Operation = "GetSignInMethod"   // needs no credential
	SignInWithIdToken   Operation = "SignInWithIdToken" // needs no credential but the ID token

	CreateCollection              Operation = "CreateCollection"
	ListCollections               Operation = "ListCollections"
	GetCollectionMetadata         Operation = "GetCollectionMetadata"
	UpdateCollection              Operation = "UpdateCollection"
	DeleteCollection              Operation = "DeleteCollection"
	GenerateCollectionDescription Operation = "GenerateCollectionDescription"
	UploadDocument                Operation = "UploadDocument"
	AddDocumentToCollection       Operation = "AddDocumentToCollection"
	ListDocuments                 Operation = "ListDocuments"
	GetDocumentMetadata           Operation = "GetDocumentMetadata"
	BatchGetDocuments             Operation = "BatchGetDocuments"
	UpdateDocument                Operation = "UpdateDocument"
	ReIndexDocument               Operation = "ReIndexDocument"
	RemoveDocumentFromCollection  Operation = "RemoveDocumentFromCollection"
)

// OperationInfo says what a scope opens.
type OperationInfo struct {
	Name         Operation
	Method, Path string // one spelling of the route
	Organization bool   // needs ScopeOrganization: it touches what all teams share
}

// Operations lists every operation with its route. The API's route tables are
// checked against it, so an operation without a scope does not build.
var Operations = []OperationInfo{
	{ListApiKeys, "GET", "/auth/teams/{teamId}/api-keys", false},
	{CreateApiKey, "POST", "/auth/teams/{teamId}/api-keys", false},
	{GetApiKey, "GET", "/auth/api-keys/{apiKeyId}", false},
	{UpdateApiKey, "PUT", "/auth/api-keys/{apiKeyId}", false},
	{RotateApiKey, "POST", "/auth/api-keys/{apiKeyId}/rotate", false},
	{DeleteApiKey, "DELETE", "/auth/api-keys/{apiKeyId}", false},
	{ImportApiKeys, "POST", "/admin/v1/api-keys/import", true},
	{CheckApiKeyPropagation, "GET", "/auth/api-keys/{apiKeyId}/propagation", false},
	{ListPossibleModelAcls, "GET", "/auth/teams/{teamId}/models", false},
	{ListPossibleEndpointAcls, "GET", "/auth/teams/{teamId}/endpoints", false},
	{ValidateManagementKey, "GET", "/auth/management-keys/validation", false},
	{ListTeams, "GET", "/auth/teams", false},
	{ListAuditEvents, "GET", "/audit/teams/{teamId}/events", false},
	{ExportAuditEvents, "GET", "/admin/v1/audit-log", true},
	{AnalyzeBillingItems, "POST", "/v1/billing/teams/{teamId}/usage", false},
	{CreateManagementKey, "POST", "/admin/v1/management-keys", false},
	{ListManagementKeys, "GET", "/admin/v1/management-keys", false},
	{GetManagementKey, "GET", "/admin/v1/management-keys/{id}", false},
	{RotateManagementKey, "POST", "/admin/v1/management-keys/{id}/rotate", false},
	{RevokeManagementKey, "DELETE", "/admin/v1/management-keys/{id}", false},
	{GetTeam, "GET", "/admin/v1/teams/{id}", false},
	{CreateTeam, "POST", "/admin/v1/teams", true},
	{UpdateTeam, "PATCH", "/admin/v1/teams/{id}", true},
	{ListUsers, "GET", "/admin/v1/users", false},
	{GetUser, "GET", "/admin/v1/users/{id}", false},
	{CreateUser, "POST", "/admin/v1/users", false},
	{UpdateUser, "PATCH", "/admin/v1/users/{id}", false},
	{ListUpstreams, "GET", "/admin/v1/upstreams", true},
	{GetUpstream, "GET", "/admin/v1/upstreams/{id}", true},
	{CreateUpstream, "POST", "/admin/v1/upstreams", true},
	{UpdateUpstream, "PATCH", "/admin/v1/upstreams/{id}", true},
	{DeleteUpstream, "DELETE", "/admin/v1/upstreams/{id}", true},
	{TestUpstream, "POST", "/admin/v1/upstreams/{id}/test", true},
	{ListModels, "GET", "/admin/v1/models", true},
	{GetModel, "GET", "/admin/v1/models/{id}", true},
	{CreateModel, "POST", "/admin/v1/models", true},
	{UpdateModel, "PATCH", "/admin/v1/models/{id}", true},
	{DeleteModel, "DELETE", "/admin/v1/models/{id}", true},
	{ListAliases, "GET", "/admin/v1/aliases", true},
	{GetAlias, "GET", "/admin/v1/aliases/{id}", true},
	{CreateAlias, "POST", "/admin/v1/aliases", true},
	{UpdateAlias, "PATCH", "/admin/v1/aliases/{id}", true},
	{DeleteAlias, "DELETE", "/admin/v1/aliases/{id}", true},
	{ListPrices, "GET", "/admin/v1/prices", true},
	{GetPrice, "GET", "/admin/v1/prices/{id}", true},
	{CreatePrice, "POST", "/admin/v1/prices", true},
	{DeletePrice, "DELETE", "/admin/v1/prices/{id}", true},
	{ListClusters, "GET", "/admin/v1/clusters", true},
	{GetCluster, "GET", "/admin/v1/clusters/{id}", true},
	{CreateCluster, "POST", "/admin/v1/clusters", true},
	{UpdateCluster, "PATCH", "/admin/v1/clusters/{id}", true},
	{DeleteCluster, "DELETE", "/admin/v1/clusters/{id}", true},
	{ListGateways, "GET", "/admin/v1/gateways", true},
	{GetGateway, "GET", "/admin/v1/gateways/{id}", true},
	{ForgetGateway, "DELETE", "/admin/v1/gateways/{id}", true},
	{CreateJoinToken, "POST", "/admin/v1/join-tokens", true},
	{ListJoinTokens, "GET", "/admin/v1/join-tokens", true},
	{GetJoinToken, "GET", "/admin/v1/join-tokens/{id}", true},
	{RevokeJoinToken, "DELETE", "/admin/v1/join-tokens/{id}", true},

	{GetBillingInfo, "GET", "/v1/billing/teams/{teamId}/billing-info", false},
	{SetBillingInfo, "POST", "/v1/billing/teams/{teamId}/billing-info", false},
	{ListInvoices, "GET", "/v1/billing/teams/{teamId}/invoices", false},
	{ListPaymentMethods, "GET", "/v1/billing/teams/{teamId}/payment-method", false},
	{SetDefaultPaymentMethod, "POST", "/v1/billing/teams/{teamId}/payment-method/default", false},
	{GetAmountToPay, "GET", "/v1/billing/teams/{teamId}/postpaid/invoice/preview", false},
	{GetSpendingLimits, "GET", "/v1/billing/teams/{teamId}/postpaid/spending-limits", false},
	{SetSoftSpendingLimit, "POST", "/v1/billing/teams/{teamId}/postpaid/spending-limits", false},
	{ListPrepaidBalanceChanges, "GET", "/v1/billing/teams/{teamId}/prepaid/balance", false},
	{TopUpOrGetExistingPendingChange, "POST", "/v1/billing/teams/{teamId}/prepaid/top-up", false},
	{GetBillingSummary, "GET", "/v1/billing", false},
	{GetInvoice, "GET", "/admin/v1/invoices/{id}", false},

	{ListTopUps, "GET", "/admin/v1/top-ups", true},
	{ConfirmTopUp, "POST", "/admin/v1/top-ups/{id}/confirm", true},
	{FailTopUp, "POST", "/admin/v1/top-ups/{id}/fail", true},
	{RefundTopUp, "POST", "/admin/v1/top-ups/{id}/refund", true},
	{GrantCredit, "POST", "/admin/v1/credits", true},
	{UpdateBillingAccount, "PATCH", "/admin/v1/billing-accounts/{id}", true},
	{CloseBillingCycle, "POST", "/admin/v1/billing-cycles/close", true},
	{SettleInvoice, "POST", "/admin/v1/invoices/{id}/settle", true},
	{ListPostings, "GET", "/admin/v1/postings", true},
	{GetTrialBalance, "GET", "/admin/v1/trial-balance", true},
	{ListHolds, "GET", "/admin/v1/holds", true},
	{WriteOffHold, "POST", "/admin/v1/holds/{id}/write-off", true},
	{RerateUsage, "POST", "/admin/v1/usage/rerate", true},

	{ListBudgets, "GET", "/admin/v1/budgets", false},
	{GetBudget, "GET", "/admin/v1/budgets/{id}", false},
	{CreateBudget, "POST", "/admin/v1/budgets", false},
	{UpdateBudget, "PATCH", "/admin/v1/budgets/{id}", false},
	{DeleteBudget, "DELETE", "/admin/v1/budgets/{id}", false},
	{ListBudgetStates, "GET", "/admin/v1/budget-states", false},
	{CreateAlertHook, "POST", "/admin/v1/alert-hooks", false},
	{ListAlertHooks, "GET", "/admin/v1/alert-hooks", false},
	{DeleteAlertHook, "DELETE", "/admin/v1/alert-hooks/{id}", false},
	{ListAlerts, "GET", "/admin/v1/alerts", false},

	{ListMembers, "GET", "/v1/team/members", false},
	{UpdateMember, "PATCH", "/v1/team/members/{id}", false},
	{RemoveMember, "DELETE", "/v1/team/members/{id}", false},
	{CreateInvitation, "POST", "/v1/team/invitations", false},
	{ListInvitations, "GET", "/v1/team/invitations", false},
	{RevokeInvitation, "DELETE", "/v1/team/invitations/{id}", false},
	{AcceptInvitation, "POST", "/v1/team/invitations/accept", false},
	{ListOrphanedApiKeys, "GET", "/admin/v1/orphans", false},
	{GetSignInMethod, "GET", "/auth/sign-in", false},
	{SignInWithIdToken, "POST", "/auth/sign-in", false},
	{CreateCollection, "POST", "/v1/collections", false},
	{ListCollections, "GET", "/v1/collections", false},
	{GetCollectionMetadata, "GET", "/v1/collections/{collection_id}", false},
	{UpdateCollection, "PUT", "/v1/collections/{collection_id}", false},
	{DeleteCollection, "DELETE", "/v1/collections/{collection_id}", false},
	{GenerateCollectionDescription, "POST", "/v1/collections/{collection_id}/description:generate", false},
	{UploadDocument, "POST", "/v1/collections/{collection_id}/documents", false},
	{AddDocumentToCollection, "POST", "/v1/collections/{collection_id}/documents/{file_id}", false},
	{ListDocuments, "GET", "/v1/collections/{collection_id}/documents", false},
	{GetDocumentMetadata, "GET", "/v1/collections/{collection_id}/documents/{file_id}", false},
	{BatchGetDocuments, "GET", "/v1/collections/{collection_id}/documents:batchGet", false},
	{UpdateDocument, "PUT", "/v1/collections/{collection_id}/documents/{file_id}", false},
	{ReIndexDocument, "PATCH", "/v1/collections/{collection_id}/documents/{file_id}", false},
	{RemoveDocumentFromCollection, "DELETE", "/v1/collections/{collection_id}/documents/{file_id}", false},
}

const managementACL = "team-token:endpoint:"

// ScopeFor spells the ACL entry that op needs.
func ScopeFor(op Operation) string { return managementACL + string(op) }

// MayCall reports whether the key's ACL opens op.
func (k *ManagementKey) MayCall(op Operation) bool {
	return op == ValidateManagementKey || slices.Contains(k.ACL, managementACL+"*") || slices.Contains(k.ACL, ScopeFor(op))
}

// ValidateManagementACL checks spelling: every name must be an operation, or *.
func ValidateManagementACL(field string, acl []string, v *Violations) {
	if len(acl) > MaxACLs {
		v.Addf(field, "at most %d entries", MaxACLs)
	}
	for _, s := range acl {
		name, ok := strings.CutPrefix(s, managementACL)
		known := name == "*" || slices.ContainsFunc(Operations, func(o OperationInfo) bool { return string(o.Name) == name })
		if !ok || !known {
			v.Addf(field, "%q is not team-token:endpoint:NAME with NAME an operation or *", clip(s))
		}
	}
}

// ManagementACLWithin reports the first entry of child that parent lacks; empty when it fits.
func ManagementACLWithin(child, parent []string) (excess string) {
	if slices.Contains(parent, managementACL+"*") {
		return ""
	}
	for _, s := range child {
		if !slices.Contains(parent, s) {
			return s
		}
	}
	return ""
}
