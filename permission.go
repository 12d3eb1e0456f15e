package gatehouse

import "slices"

// Permission is a group of operations that a role has or lacks as a whole, and
// what people name when they ask for rights: "Management Keys Read + Write" of
// xAI's console is the two permissions of that name together, and no other
// permission holds any of it.
type Permission struct {
	Name       string
	Operations []Operation
	Roles      []Role // who has it, the widest first
}

// Who has a permission. A role that may be given by somebody must be within
// what they may do themselves, so the sets are nested where one manages another:
// whoever may make an auditor reads all that an auditor reads.
var (
	everyone   = Roles
	management = []Role{RoleOwner, RoleAdmin}
)

// Permissions lists them. Every operation of a team is in exactly one; those of
// the organization are in none, since no role in a team reaches beyond it.
var Permissions = []Permission{
	{"API Keys Read", []Operation{
		ListApiKeys, GetApiKey, CheckApiKeyPropagation, ListPossibleModelAcls, ListPossibleEndpointAcls, ListOrphanedApiKeys,
	}, everyone},
	{"API Keys Write", []Operation{CreateApiKey, UpdateApiKey, RotateApiKey, DeleteApiKey}, []Role{RoleOwner, RoleAdmin, RoleDeveloper}},
	{"Management Keys Read", []Operation{ListManagementKeys, GetManagementKey}, []Role{RoleOwner, RoleAdmin, RoleAuditor}},
	{"Management Keys Write", []Operation{CreateManagementKey, RotateManagementKey, RevokeManagementKey}, management},
	{"Usage Read", []Operation{AnalyzeBillingItems}, everyone},
	{"Audit Log Read", []Operation{ListAuditEvents}, []Role{RoleOwner, RoleAdmin, RoleAuditor}},
	{"Team Read", []Operation{ListTeams, GetTeam}, everyone},
	{"People Read", []Operation{ListUsers, GetUser, ListMembers, ListInvitations}, []Role{RoleOwner, RoleAdmin, RoleBilling, RoleDeveloper, RoleAuditor}},
	{"People Write", []Operation{
		CreateUser, UpdateUser, UpdateMember, RemoveMember, CreateInvitation, RevokeInvitation,
	}, management},
	{"Billing Read", []Operation{
		GetBillingInfo, ListInvoices, GetInvoice, ListPaymentMethods, GetAmountToPay, GetSpendingLimits, ListPrepaidBalanceChanges, GetBillingSummary,
	}, []Role{RoleOwner, RoleAdmin, RoleBilling, RoleAuditor}},
	{"Billing Write", []Operation{
		SetBillingInfo, SetDefaultPaymentMethod, SetSoftSpendingLimit, TopUpOrGetExistingPendingChange,
	}, []Role{RoleOwner, RoleBilling}},
	{"Budgets Read", []Operation{
		ListBudgets, GetBudget, ListBudgetStates, ListAlertHooks, ListAlerts,
	}, []Role{RoleOwner, RoleAdmin, RoleBilling, RoleDeveloper, RoleAuditor}},
	{"Budgets Write", []Operation{
		CreateBudget, UpdateBudget, DeleteBudget, CreateAlertHook, DeleteAlertHook,
	}, []Role{RoleOwner, RoleAdmin, RoleBilling}},
	{"Collections Read", []Operation{
		ListCollections, GetCollectionMetadata, ListDocuments, GetDocumentMetadata, BatchGetDocuments,
	}, []Role{RoleOwner, RoleAdmin, RoleDeveloper, RoleAuditor}},
	{"Collections Write", []Operation{
		CreateCollection, UpdateCollection, DeleteCollection, GenerateCollectionDescription, UploadDocument, AddDocumentToCollection,
		UpdateDocument, ReIndexDocument, RemoveDocumentFromCollection,
	}, []Role{RoleOwner, RoleAdmin, RoleDeveloper}},
}

// Unscoped are the operations that no ACL entry and no role opens: every
// management key may look at itself, and the others take another credential or
// none.
var Unscoped = []Operation{ValidateManagementKey, AcceptInvitation, GetSignInMethod, SignInWithIdToken}

// Operations lists what a person with the role may call, in the order of the
// list of all. An unknown role may call nothing.
func (r Role) Operations() []Operation {
	var out []Operation
	for _, o := range Operations {
		if r.May(o.Name) {
			out = append(out, o.Name)
		}
	}
	return out
}

// May reports whether the role opens op. What is not decided is denied.
func (r Role) May(op Operation) bool {
	for _, p := range Permissions {
		if slices.Contains(p.Operations, op) {
			return slices.Contains(p.Roles, r)
		}
	}
	return false
}

// Valid reports whether there is such a role.
func (r Role) Valid() bool { return slices.Contains(Roles, r) }

// Wider is the wider of two roles: which of several that a person's groups give
// counts. An empty role is the narrowest.
func (r Role) Wider(o Role) Role {
	rank := func(r Role) int {
		if i := slices.Index(Roles, r); i >= 0 {
			return i
		}
		return len(Roles)
	}
	if rank(o) < rank(r) {
		return o
	}
	return r
}
