package gatehouse

import "time"

// ActorKind says what sort of thing acted.
type ActorKind string

// The actor kinds.
const (
	ActorManagementKey ActorKind = "management_key"
	ActorOperator      ActorKind = "operator"   // the machine's console: bootstrap, recover
	ActorConfig        ActorKind = "config"     // the configuration file at start
	ActorSystem        ActorKind = "system"     // Gatehouse itself
	ActorGateway       ActorKind = "gateway"    // a process that joins; KeyID is its join token
	ActorInvited       ActorKind = "invitation" // a person who accepts one; KeyID is the invitation
	ActorSignIn        ActorKind = "sign_in"    // a person who proves themselves by an identity provider
	ActorAPIKey        ActorKind = "api_key"    // a program, through a gateway: its files
	ActorUnknown       ActorKind = "unknown"    // a denied call that proved nothing
)

// Actor is who did it: the credential and the person behind it.
type Actor struct {
	Kind   ActorKind `json:"kind"`
	KeyID  ID        `json:"keyId,omitzero"`
	UserID ID        `json:"userId,omitzero"`
	IP     string    `json:"ip,omitempty"` // personal: committed to, not in the leaf
}

// Cause travels with every mutation.
type Cause struct {
	Actor     Actor
	Reason    string // free text of the caller, optional
	RequestID string
}

// Result is how an audited act ended.
type Result string

// The results.
const (
	Done   Result = "done"
	Denied Result = "denied"
	Read   Result = "read"
)

// Act is what happened, as the code that did it says. The store adds who, when
// and where in the log.
type Act struct {
	Action      string            // "api_key.created"; docs/reference/audit.md lists them
	Operation   string            // the RPC name, "CreateApiKey"
	TeamID      ID                // whose log shows it; zero for the installation's
	Kind        Kind              // the subject
	Subject     string            // its id or name; empty when there is none
	Description string            // English, one line: "API key 'ci' was created"
	Details     map[string]string // bounded; never a secret
	Result      Result
}

// Event is one leaf of the audit log: an [Act] with its place and its author.
type Event struct {
	Index     int64 // 0-based position in the log
	ID        ID
	Time      time.Time
	Revision  Revision
	Actor     Actor
	RequestID string
	Reason    string
	Act
}

// EventFilter narrows ListEvents; zero fields do not.
type EventFilter struct {
	TeamID    ID
	UserID    ID
	Email     string // of a person of the team, instead of UserID
	EventID   ID
	Query     string // words that the description must contain
	Action    string
	From, To  time.Time // [From, To)
	Ascending bool
	After     int64 // page cursor: index of the last event seen, -1 for none
	Limit     int
}
