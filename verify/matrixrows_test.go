package verify

import (
	"slices"

	"gatehouse"
)

// row says how an operation of the document is asked so that nothing is wrong
// with the request but who asks. Words such as $key are ids of the side that
// they are filled with; {teamId} and {apiKeyId} in a path are $team and $key.
type row struct {
	op      string // operationId
	id      string // what {id} and {name} are, or of a list what after= names
	query   string
	body    string
	unnamed string           // members of the body that name nothing of a team here
	want    int              // what the valid request is answered, where it is not 200
	or      int              // the same, in another topology
	open    string           // why it takes no credential
	invited bool             // it takes an invitation's token
	moves   bool             // a read whose answer is new each time
	message string           // as a message of gRPC, where it is not the body; of the gateway's, one a line
	filter  string           // what filter= means here
	others  string           // parameters that make another list, of which page tokens are none of the plain list's
	call    string           // the method of the gateway's gRPC that asks the same
	echoes  bool             // a refusal says which id it is about
	roles   []gatehouse.Role // whose personal keys may call it; nil: not judged here
}

const (
	newKey  = `"name":"matrix","acls":["api-key:model:grok-4"]`
	change  = `{"apiKey":{"name":"canary changed"},"fieldMask":"name"}`
	rename  = `{"apiKey":{"apiKeyId":"$key","name":"canary changed"},"fieldMask":"name"}`
	ofUsage = `{"analyticsRequest":{"timeRange":{"startTime":"2026-01-01 00:00:00","endTime":"2026-12-31 00:00:00","timezone":"Etc/UTC"},"timeUnit":"TIME_UNIT_NONE","groupBy":["api_key_id"],"values":[{"name":"tokens","aggregation":"AGGREGATION_SUM"}]}}`
)

// boundary is that of all forms here, and document the form of an upload.
const (
	boundary = "matrix"
	upload   = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"canary.txt\"\r\n\r\ncanary words\r\n--" + boundary + "--\r\n"
	document = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"team_id\"\r\n\r\n$team\r\n" + upload
)

// Who may read and who may change collections (docs/reference/scopes.md).
var (
	librarians = []gatehouse.Role{gatehouse.RoleOwner, gatehouse.RoleAdmin, gatehouse.RoleDeveloper}
	readers    = append(slices.Clone(librarians), gatehouse.RoleAuditor)
)

// matrixRows has one row for each operation, in the order in which the valid
// requests are made: what ends something comes last.
var matrixRows = []row{
	{op: "GetSignInMethod", open: "a client asks it before anybody has signed in", want: 404},
	{op: "SignInWithIdToken", open: "the ID token is the credential; TestSignIn has its cases", want: 404, body: `{"idToken":"a.b.c","teamId":"$team"}`},
	{op: "ValidateManagementKey"},
	{op: "WriteOffHold", id: "$hold", body: `{}`},

	{op: "ListApiKeys"},
	{op: "ListApiKeys_getAdminV1ApiKeys", query: "teamId=$team"},
	{op: "ListApiKeys_getV1ApiKeys", id: "$key", moves: true},
	{op: "GetApiKey"},
	{op: "GetApiKey_getAdminV1ApiKeysApiKeyId"},
	{op: "GetApiKey_getAuthTeamsTeamIdApiKeysApiKeyId"},
	{op: "GetApiKey_getV1ApiKeysId", id: "$key"},
	{op: "CheckApiKeyPropagation"},
	{op: "CheckApiKeyPropagation_getAuthTeamsTeamIdApiKeysApiKeyIdPropagation"},
	{op: "ListPossibleModelAcls"},
	{op: "ListPossibleEndpointAcls"},
	{op: "ListOrphanedApiKeys", id: "$orphan"},
	{op: "CreateApiKey", body: `{` + newKey + `}`},
	{op: "CreateApiKey_postAdminV1ApiKeys", body: `{` + newKey + `,"teamId":"$team","ownerUserId":"$user"}`, unnamed: "apiKeyId ownerId"},
	{op: "CreateApiKey_postV1ApiKeys", body: `{"name":"matrix","acl":{"models":["grok-4"]}}`},
	{op: "ImportApiKeys", body: `{"dryRun":true,"keys":[{"apiKey":{` + newKey + `,"teamId":"$team","ownerUserId":"$user"},"digest":"9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08","last4":"abcd","source":"litellm"}]}`, unnamed: "apiKeyId ownerId"},
	{op: "UpdateApiKey", body: change, unnamed: "teamId apiKeyId"},
	{op: "UpdateApiKey_patchAuthApiKeysApiKeyId", body: `{"apiKey":{"name":"canary changed"},"teamId":"$team"}`, unnamed: "apiKeyId"},
	{op: "UpdateApiKey_patchAdminV1ApiKeysApiKeyId", body: `{"ownerUserId":"$user"}`, unnamed: "apiKeyId ownerId teamId"},
	{op: "UpdateApiKey_putAuthTeamsTeamIdApiKeys", body: rename},
	{op: "UpdateApiKey_patchAuthTeamsTeamIdApiKeys", body: rename},
	{op: "UpdateApiKey_putAuthTeamsTeamIdApiKeysApiKeyId", body: change, unnamed: "apiKeyId"},
	{op: "UpdateApiKey_patchAuthTeamsTeamIdApiKeysApiKeyId", body: change, unnamed: "apiKeyId"},
	{op: "UpdateApiKey_patchV1ApiKeysId", id: "$key", body: `{"name":"canary changed"}`},
	{op: "RotateApiKey", body: `{"teamId":"$team"}`},
	{op: "RotateApiKey_postAuthTeamsTeamIdApiKeysApiKeyIdRotate", body: `{}`},

	{op: "ListManagementKeys", query: "teamId=$team"},
	{op: "GetManagementKey", id: "$manager"},
	{op: "CreateManagementKey", body: `{"name":"matrix","teamId":"$team","ownerUserId":"$user","acls":["team-token:endpoint:ListApiKeys"]}`, unnamed: "apiKeyId"},
	{op: "RotateManagementKey", id: "$manager", body: `{}`},

	{op: "ListTeams"},
	{op: "ListTeams_getAdminV1Teams"},
	{op: "GetTeam", id: "$team"},
	{op: "GetTeam_getV1Team"},
	{op: "CreateTeam", body: `{"name":"matrix"}`, unnamed: "id"},
	{op: "UpdateTeam", id: "$team", body: `{"name":"canary changed"}`, unnamed: "id"},
	{op: "ListUsers", query: "teamId=$team"},
	{op: "GetUser", id: "$user"},
	{op: "CreateUser", body: `{"teamId":"$team","givenName":"matrix"}`, unnamed: "id email"},
	{op: "UpdateUser", id: "$user", body: `{"givenName":"canary changed"}`, unnamed: "id teamId email"},
	{op: "ListMembers", id: "$user"},
	{op: "UpdateMember", id: "$member", body: `{"role":"viewer"}`},
	{op: "ListInvitations", id: "$invitation"},
	{op: "CreateInvitation", body: `{"email":"matrix@example.com","role":"viewer"}`},
	{op: "AcceptInvitation", invited: true, body: `{"email":"$email"}`},

	{op: "ListAuditEvents", moves: true},
	{op: "ListAuditEvents_getV1AuditLogs", moves: true},
	{op: "ExportAuditEvents", moves: true},

	{op: "AnalyzeBillingItems", body: ofUsage, unnamed: "filters"},
	{op: "AnalyzeBillingItems_getAdminV1Usage", query: "teamId=$team", moves: true},
	{op: "AnalyzeBillingItems_getV1Usage", moves: true},
	{op: "AnalyzeBillingItems_getV1BillingUsage", moves: true},
	{op: "RerateUsage", body: `{"teamId":"$team","cycle":"$cycle"}`},

	{op: "GetBillingInfo"},
	{op: "SetBillingInfo", body: `{"billingInfo":{"name":"canary changed","address":{"line1":"1 Main St","city":"Springfield","country":"US","postalCode":"12345"}}}`, unnamed: "email"},
	{op: "ListInvoices", message: `{"teamId":"$team","invoiceIds":{"invoiceIds":["$invoice"]}}`},
	{op: "GetInvoice", id: "$invoice"},
	{op: "GetInvoice_getAdminV1InvoicesIdCsv", id: "$invoice"},
	{op: "GetInvoice_getAdminV1InvoicesIdPdf", id: "$invoice"},
	{op: "SettleInvoice", id: "$invoice", body: `{}`},
	{op: "ListPaymentMethods"},
	{op: "SetDefaultPaymentMethod", body: `{"paymentMethodId":"$method"}`},
	{op: "GetAmountToPay", moves: true},
	{op: "GetSpendingLimits"},
	{op: "SetSoftSpendingLimit", body: `{"desiredSoftSpendingLimit":{"val":"100"}}`},
	{op: "ListPrepaidBalanceChanges", moves: true},
	{op: "GetBillingSummary", moves: true},
	{op: "GetBillingSummary_getV1BillingCredits", moves: true},
	{op: "TopUpOrGetExistingPendingChange", body: `{"amount":{"val":"500"}}`},
	{op: "ListTopUps", query: "teamId=$team"},
	{op: "ConfirmTopUp", id: "$topup", body: `{"external":"matrix"}`},
	{op: "RefundTopUp", id: "$topup", body: `{"cents":"100"}`},
	{op: "FailTopUp", id: "$topup", body: `{}`, want: 400},
	{op: "GrantCredit", body: `{"teamId":"$team","cents":"100"}`},
	{op: "UpdateBillingAccount", id: "$team", body: `{"taxBasisPoints":700}`, unnamed: "id paymentMethodId email"},
	{op: "CloseBillingCycle", body: `{"teamId":"$team","cycle":"2001-01"}`, want: 400},
	{op: "ListPostings", query: "teamId=$team", moves: true},
	{op: "GetTrialBalance", query: "teamId=$team", moves: true},
	{op: "ListHolds", query: "teamId=$team", moves: true},

	{op: "ListBudgets", query: "teamId=$team"},
	{op: "GetBudget", id: "$budget"},
	{op: "CreateBudget", body: `{"name":"matrix","subject":"key","value":"$key","amountCents":"100","period":"day"}`},
	{op: "UpdateBudget", id: "$budget", body: `{"name":"canary changed"}`, unnamed: "value"},
	{op: "ListBudgetStates", query: "teamId=$team", moves: true},
	{op: "ListAlerts", query: "teamId=$team"},
	{op: "ListAlertHooks", query: "teamId=$team"},
	{op: "CreateAlertHook", body: `{"teamId":"$team","email":"matrix@example.com"}`},

	{op: "ListUpstreams"},
	{op: "GetUpstream", id: "$upstream"},
	{op: "CreateUpstream", body: `{"name":"matrix 2","kind":"openai","baseUrl":"https://192.0.2.1/v1","serves":[{"model":"*"}]}`, unnamed: "id"},
	{op: "UpdateUpstream", id: "$upstream", body: `{"disabled":true}`, unnamed: "id"},
	{op: "TestUpstream", id: "$upstream", body: `{}`},
	{op: "ListModels"},
	{op: "GetModel", id: "$model"},
	{op: "CreateModel", body: `{"name":"matrix-4","type":"language","owner":"matrix"}`},
	{op: "UpdateModel", id: "$newmodel", body: `{"contextLength":"1000"}`},
	{op: "ListAliases"},
	{op: "GetAlias", id: "$alias"},
	{op: "CreateAlias", body: `{"name":"matrix-3","target":"grok-4"}`},
	{op: "UpdateAlias", id: "$alias", body: `{"target":"gpt-4o"}`},
	{op: "ListPrices"},
	{op: "GetPrice", id: "$price"},
	{op: "CreatePrice", body: `{"model":"matrix-model","units":{"Prompt text tokens":"2"},"source":"operator"}`, unnamed: "id"},
	{op: "ListClusters"},
	{op: "GetCluster", id: "$cluster"},
	{op: "CreateCluster", body: `{"name":"matrix-2"}`},
	{op: "UpdateCluster", id: "$cluster", body: `{"address":"matrix.example.com"}`},
	{op: "ListGateways", moves: true},
	{op: "GetGateway", id: "$gateway", moves: true},
	{op: "ListJoinTokens"},
	{op: "GetJoinToken", id: "$join"},
	{op: "CreateJoinToken", body: `{"cluster":"matrix"}`},

	{op: "postFiles", body: upload, call: "UploadFile", message: `{"init":{"name":"canary.txt"}}` + "\n" + `{"data":"Y2FuYXJ5"}`},
	{op: "getFiles", id: "$file", filter: "file_id:%22$file%22", others: "order=asc sort_by=size filter=filename:canary", call: "ListFiles", message: `{"filter":"file_id:\"$file\""}`},
	{op: "getFilesId", id: "$file", call: "RetrieveFile", message: `{"fileId":"$file"}`},
	{op: "putFilesId", id: "file_$file", body: `{"filename":"canary changed.txt"}`},
	{op: "getFilesIdContent", id: "file_$file", call: "RetrieveFileContent", message: `{"fileId":"$file"}`},
	{op: "getFilesPublicToken", open: "the path holds its own"},
	{op: "postFilesIdPublicUrl", id: "$file", body: `{}`, call: "CreatePublicUrl", message: `{"fileId":"$file"}`},
	{op: "postFilesIdPublicUrlRevoke", id: "$file", call: "RevokePublicUrl", message: `{"fileId":"$file"}`},
	{op: "postDocumentsSearch", body: `{"query":"words","source":{"collection_ids":["$collection","collection_$second"]}}`, echoes: true, call: "Search", message: `{"query":"words","source":{"collectionIds":["$collection","collection_$second"]}}`},
	{op: "postChatCompletions", body: `{"model":"grok-4","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file_$file"}}]}]}`, echoes: true},
	{op: "postResponses", body: `{"model":"gpt-4o","input":[{"role":"user","content":[{"type":"input_file","file_id":"file_$file"}]}]}`, echoes: true},
	{op: "postMessages", body: `{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"file_$file"}}]}]}`, echoes: true},
	{op: "postMessagesCountTokens", body: `{"model":"claude-sonnet-4-5","messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"file-$file"}}]}]}`, echoes: true},
	{op: "deleteFilesId", id: "$junk", call: "DeleteFile", message: `{"fileId":"$junk"}`},

	{op: "ListCollections", roles: readers, filter: "collection_id:%22$collection%22", others: "order=ORDERING_ASCENDING sort_by=COLLECTIONS_SORT_BY_AGE filter=collection_name:canary"},
	{op: "CreateCollection", roles: librarians, body: `{"team_id":"$team","collection_name":"canary matrix"}`},
	{op: "GetCollectionMetadata", roles: readers},
	{op: "UpdateCollection", roles: librarians, body: `{"team_id":"$team","collection_name":"canary changed"}`},
	{op: "UpdateCollection_patchV1CollectionsCollectionId", roles: librarians, body: `{"team_id":"$team","collection_description":"canary changed"}`},
	{op: "GenerateCollectionDescription", roles: librarians, body: `{"team_id":"$team"}`},
	{op: "ListDocuments", roles: readers, filter: "file_id:%22$document%22", others: "order=ORDERING_ASCENDING sort_by=DOCUMENTS_SORT_BY_SIZE name=canary status=ready filter=name:canary"},
	{op: "GetDocumentMetadata", roles: readers},
	{op: "BatchGetDocuments", roles: readers, query: "file_ids=$document&file_ids=file_$another", message: `{"teamId":"$team","collectionId":"$collection","fileIds":["$document"]}`, echoes: true},
	{op: "UploadDocument", roles: librarians, body: document, message: `{"teamId":"$team","collectionId":"$collection","name":"canary.txt","data":"Y2FuYXJ5"}`},
	{op: "AddDocumentToCollection", roles: librarians, id: "$file", body: `{"team_id":"$team"}`},
	{op: "UpdateDocument", roles: librarians, body: `{"team_id":"$team","name":"canary changed.txt","data":"Y2FuYXJ5"}`},
	{op: "ReIndexDocument", roles: librarians},
	{op: "RemoveDocumentFromCollection", roles: librarians},
	{op: "DeleteCollection", roles: librarians},

	{op: "DeleteUpstream", id: "$upstream"},
	{op: "DeletePrice", id: "$price"},
	{op: "DeleteAlias", id: "$alias"},
	{op: "DeleteModel", id: "$newmodel"},
	{op: "DeleteCluster", id: "$cluster"},
	{op: "ForgetGateway", id: "$gateway", or: 400},
	{op: "RevokeJoinToken", id: "$join"},
	{op: "DeleteAlertHook", id: "$hook"},
	{op: "DeleteBudget", id: "$budget"},
	{op: "RevokeInvitation", id: "$invitation"},
	{op: "DeleteApiKey"},
	{op: "DeleteApiKey_deleteAuthTeamsTeamIdApiKeysApiKeyId", id: "$key2"},
	{op: "DeleteApiKey_deleteV1ApiKeysId", id: "$key3"},
	{op: "RemoveMember", id: "$member", query: "heir=$user"},
	{op: "RevokeManagementKey", id: "$manager"},
}

// matrixParameters says what every parameter of the document means: the word of
// what it names of a team, "$" for what the row has as id, or nothing.
var matrixParameters = map[string]string{
	"teamId": "$team", "team_id": "$team", "X-Team-Id": "$team", "apiKeyId": "$key",
	"userId": "$user", "actor": "$user", "heir": "$user", "after": "$",
	"eventFilter.userId": "$user", "eventFilter.eventId": "$event", "event_id": "$event", "eventFilter.query": "$name",
	"invoiceIds.invoiceIds": "$invoice", "filter": "api_key_id:%22$key%22",

	"collection_id": "collection_$collection", "file_id": "file_$document", "file_ids": "$document", "token": "$link", "name": "$name",
	"order": "", "sort_by": "", "status": "", "pagination_token": "", "purpose": "", "format": "",

	"X-Request-Id": "", "If-Match": "", "Idempotency-Key": "", "X-Gatehouse-Reason": "", "fieldMask": "", "field_mask": "",
	"pageSize": "", "pageToken": "", "paginationToken": "", "limit": "", "cursor": "",
	"aclFilters": "", "activeOnly": "", "action": "", "eventFilter.action": "", "orderBy": "", "since": "", "wait": "",
	"billingCycle.year": "", "billingCycle.month": "", "since.year": "", "since.month": "",
	"startTime": "", "endTime": "", "start_date": "", "end_date": "", "start_time": "", "end_time": "", "eventTimeFrom": "", "eventTimeTo": "",
	"groupBy": "", "group_by": "", "timeUnit": "", "timezone": "", "values": "",
}

// matrixNarrows are the parameters that narrow a list of the caller's own: what
// matches nothing there is an empty list, whoever's it is.
var matrixNarrows = map[string]bool{
	"userId": true, "actor": true, "eventFilter.userId": true, "eventFilter.eventId": true, "event_id": true,
	"eventFilter.query": true, "filter": true, "name": true,
}

// matrixFilters are parameters that make another list of the same operation,
// whose page tokens are none of the plain list's.
var matrixFilters = map[string]string{
	"userId": "$user", "actor": "nobody@example.com", "eventFilter.userId": "$user", "eventFilter.query": "canary", "aclFilters": "api-key:model:grok-4",
	"activeOnly": "true", "action": "api_key.created", "eventFilter.action": "api_key.created",
	"start_time": "2026-01-01T00:00:00Z", "eventTimeFrom": "2026-01-01T00:00:00Z", "end_time": "2099-01-01T00:00:00Z", "eventTimeTo": "2099-01-01T00:00:00Z",
}
