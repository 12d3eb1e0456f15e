package gatehouse

import (
	"context"
	"net/netip"
	"time"
)

// The contracts of the management plane. control.Caller implements them on
// the store for one principal; client implements them over HTTP with one
// management key. Every method authenticates and authorises its caller first:
// Unauthenticated, then PermissionDenied naming the scope, and only then is
// an id looked at, so that NotFound means "not yours or not there" and
// nothing more.

// Opt is an optional member of an update: not Set leaves the field alone; Set
// with the zero Value clears it.
type Opt[T any] struct {
	Set   bool
	Value T
}

// Some is an Opt that is set.
func Some[T any](v T) Opt[T] { return Opt[T]{true, v} }

// NewKey is what a caller may say about a key it creates.
type NewKey struct {
	TeamID     ID
	Name       string
	ACL        ACL
	Limits     Limits
	ExpireTime time.Time
	Strict     bool
	ReserveTPM bool
	IPRanges   []netip.Prefix
	Tags       map[string]string
	OwnerID    ID
}

// KeyUpdate changes the fields that are set.
type KeyUpdate struct {
	ID         ID
	TeamID     ID // zero, or the team named in the path: it must be the key's
	IfMatch    Revision
	Name       Opt[string]
	ACL        Opt[ACL]
	QPS        Opt[int32]
	QPM        Opt[int32]
	TPM        Opt[int64]
	Disabled   Opt[bool]
	ExpireTime Opt[time.Time]
	Strict     Opt[bool]
	ReserveTPM Opt[bool]
	IPRanges   Opt[[]netip.Prefix]
	Tags       Opt[map[string]string]
	OwnerID    Opt[ID]
}

// KeyRotation mints a second secret. ExpireTime, when set, becomes the key's;
// OldSecretExpire defaults to a day from now and is at most seven.
type KeyRotation struct {
	ID              ID
	ExpireTime      Opt[time.Time]
	OldSecretExpire time.Time
}

// MintedKey is a key with the token of its newest secret, shown this once.
type MintedKey struct {
	Key      *Key
	Token    Token
	Warnings []string // advice about an accepted request: an ACL names an unknown model
}

// KeyQuery selects a page of keys, oldest first.
type KeyQuery struct {
	TeamID     ID
	UserID     ID       // zero: of anyone
	ACL        []string // keys that hold all of these entries
	ActiveOnly bool     // not expired, not disabled
	LastUse    bool     // say when each secret was last used
	Page       Page
}

// Page asks for one page. Token is opaque; Size 0 is the server's choice.
type Page struct {
	Size  int
	Token string
}

// Keys manages inference keys.
type Keys interface {
	// CreateKey mints a key. InvalidArgument lists every bad field at once;
	// PermissionDenied when the result exceeds the caller's grant.
	CreateKey(context.Context, NewKey) (MintedKey, error)
	// GetKey returns one key; NotFound for a tombstone.
	GetKey(context.Context, ID) (*Key, error)
	// ListKeys returns a page and the token of the next, empty on the last.
	ListKeys(context.Context, KeyQuery) ([]*Key, string, error)
	// UpdateKey applies an update whole or not at all. Conflict when IfMatch
	// is not the key's revision.
	UpdateKey(context.Context, KeyUpdate) (MintedKey, error)
	// RotateKey mints a new secret under the same id.
	RotateKey(context.Context, KeyRotation) (MintedKey, error)
	// DeleteKey leaves a tombstone. Deleting twice is NotFound.
	DeleteKey(context.Context, ID) error
	// Propagation reports per cluster label whether every gateway enforces
	// the key's last change. It waits up to wait for all to say so. It answers
	// for tombstones too.
	Propagation(ctx context.Context, id ID, wait time.Duration) (map[string]bool, error)
}

// NewManagementKey is what a caller may say about a management key it creates.
type NewManagementKey struct {
	TeamID     ID // home team; zero: the caller's
	Scope      Scope
	Name       string
	ACL        []string
	Grant      *Grant
	IPRanges   []netip.Prefix
	ExpireTime time.Time
	UserID     ID // owner; zero: the caller's
}

// MintedManagementKey carries the token, shown this once.
type MintedManagementKey struct {
	Key   *ManagementKey
	Token Token
}

// ManagementKeys manages the credentials of this plane. A child never exceeds
// its maker: scope, ACL, grant, expiry and IP ranges.
type ManagementKeys interface {
	CreateManagementKey(context.Context, NewManagementKey) (MintedManagementKey, error)
	GetManagementKey(context.Context, ID) (*ManagementKey, error)
	ListManagementKeys(ctx context.Context, team ID, page Page) ([]*ManagementKey, string, error)
	RotateManagementKey(context.Context, KeyRotation) (MintedManagementKey, error)
	RevokeManagementKey(context.Context, ID) error
	// Self returns the caller's own key; it needs no scope.
	Self(context.Context) (*ManagementKey, error)
}

// AuditLog reads the log. Reading is itself recorded.
type AuditLog interface {
	// ListEvents returns a page of a team's events with the people behind
	// them, and the next page's token.
	ListEvents(ctx context.Context, f EventFilter, page Page) ([]EventView, string, error)
	// ExportAudit yields at most limit leaves from an index on, in order, as
	// the verifier needs them.
	ExportAudit(ctx context.Context, from int64, limit int, yield func(AuditLeaf) error) error
}

// AuditLeaf is one line of an export. Body is the exact leaf of the Merkle
// tree; Personal is what Body only commits to, absent once erased.
type AuditLeaf struct {
	Index     int64  `json:"index"`
	Body      []byte `json:"body"`
	Personal  []byte `json:"personal,omitempty"`
	Signature []byte `json:"signature"`
}

// EventView is an event as a reader sees it: with the person's present data,
// nil when erased or when no person acted.
type EventView struct {
	Event
	User *User
}

// UsageReader answers questions about consumption.
type UsageReader interface {
	// AnalyzeUsage evaluates q over the team's usage. InvalidArgument names
	// what cannot be answered, such as a percentile beyond the retention of rows.
	AnalyzeUsage(ctx context.Context, team ID, q UsageQuery) (UsageAnswer, error)
}

// UsageQuery is xAI's AnalyticsRequest, parsed (wire.md §3.1). Strings are in
// the wire's spelling without their prefixes: unit "DAY", aggregation "SUM".
type UsageQuery struct {
	Start, End time.Time // [Start, End)
	Zone       *time.Location
	Unit       TimeUnit
	Values     []UsageValue
	GroupBy    []string
	Filters    []string // ANDed; the grammar is wire.md §3.1's
}

// TimeUnit is the width of a bucket.
type TimeUnit string

// The time units.
const (
	UnitMonth       TimeUnit = "MONTH"
	UnitWeek        TimeUnit = "CALENDAR_WEEK" // from Monday
	UnitDay         TimeUnit = "DAY"
	UnitHour        TimeUnit = "HOUR"
	UnitQuarterHour TimeUnit = "QUARTER_HOUR"
	UnitMinute      TimeUnit = "MINUTE"
	UnitSecond      TimeUnit = "SECOND"
	UnitNone        TimeUnit = "NONE" // one bucket
)

// UsageValue is one column of the answer.
type UsageValue struct {
	Name        string // usd, ticks, tokens, input_tokens, output_tokens, billing_items, num_units
	Aggregation string // SUM, AVG, VAR, STD, MIN, MAX, P50, P90, P99, P999, COUNT, COUNT_DISTINCT, NONE
}

// UsageAnswer is one dense series per group; none when there was no usage.
type UsageAnswer struct {
	Series       []UsageSeries
	LimitReached bool // groups were cut
}

// UsageSeries is one group's points, oldest first.
type UsageSeries struct {
	Group  []string // the group's values, in GroupBy's order
	Labels []string // the same for people: a key's name and redacted form
	Points []UsagePoint
}

// UsagePoint is one bucket: its start and a number per requested value.
type UsagePoint struct {
	Time   time.Time
	Values []float64
}

// Teams reads and shapes teams and their people.
type Teams interface {
	ListTeams(context.Context, Page) ([]*Team, string, error)
	GetTeam(context.Context, ID) (*Team, error) // zero: the caller's own
	CreateTeam(ctx context.Context, name string) (*Team, error)
	UpdateTeam(context.Context, TeamUpdate) (*Team, error)
	ListUsers(ctx context.Context, team ID, page Page) ([]*User, string, error)
	GetUser(context.Context, ID) (*User, error)
	CreateUser(context.Context, *User) (*User, error)
	UpdateUser(context.Context, UserUpdate) (*User, error)
}

// TeamUpdate changes the fields that are set.
type TeamUpdate struct {
	ID      ID
	Name    Opt[string]
	Blocked Opt[bool]
	Billing Opt[BillingMode]
	// ModelLimits replaces all of them.
	ModelLimits Opt[map[string]Limits]
}

// UserUpdate changes the fields that are set.
type UserUpdate struct {
	ID                                         ID
	GivenName, FamilyName, Email, ProfileImage Opt[string]
}

// Upstreams manages where requests go.
type Upstreams interface {
	ListUpstreams(context.Context, Page) ([]*Upstream, string, error)
	GetUpstream(context.Context, ID) (*Upstream, error)
	// PutUpstream creates (zero ID) or replaces. An empty Credential keeps
	// the stored one, unless the origin of BaseURL changed: then it must be
	// given again. An update that names it among its [Call] Fields takes it away.
	PutUpstream(context.Context, *Upstream) (*Upstream, error)
	DeleteUpstream(context.Context, ID) error
	// TestUpstream dials and asks for the model list; the report never holds
	// the credential.
	TestUpstream(context.Context, ID) (UpstreamReport, error)
}

// UpstreamReport is what a test of an upstream found.
type UpstreamReport struct {
	OK      bool
	Status  int // HTTP status of its model list; 0 when none came
	Latency time.Duration
	Problem string // empty when OK
	Models  int    // how many models it listed
}

// Catalogue manages models, aliases and prices.
type Catalogue interface {
	ListModels(context.Context, Page) ([]*Model, string, error)
	GetModel(ctx context.Context, name string) (*Model, error)
	PutModel(context.Context, *Model) (*Model, error)
	DeleteModel(ctx context.Context, name string) error
	ListAliases(context.Context, Page) ([]*Alias, string, error)
	GetAlias(ctx context.Context, name string) (*Alias, error)
	PutAlias(context.Context, *Alias) (*Alias, error)
	DeleteAlias(ctx context.Context, name string) error
}

// Prices manages the price book.
type Prices interface {
	ListPrices(context.Context, Page) ([]*Price, string, error)
	GetPrice(context.Context, ID) (*Price, error)
	// PutPrice adds a price; Effective defaults to now. A price in force is
	// never edited: a later one replaces it, and one that begins in the past, at
	// most 366 days ago, corrects it for what is rated from then on.
	PutPrice(context.Context, *Price) (*Price, error)
	DeletePrice(context.Context, ID) error
}

// Fleet shows clusters and gateways.
type Fleet interface {
	ListClusters(context.Context, Page) ([]*Cluster, string, error)
	GetCluster(ctx context.Context, name string) (*Cluster, error)
	PutCluster(context.Context, *Cluster) (*Cluster, error)
	// DeleteCluster refuses while a gateway is a member of it, or an upstream or a
	// model is kept for it: the first would serve under a name that propagation
	// does not ask about, the others would serve nobody.
	DeleteCluster(ctx context.Context, name string) error
	ListGateways(context.Context, Page) ([]*Gateway, string, error)
	// GetGateway returns a member, and a forgotten one as such.
	GetGateway(context.Context, ID) (*Gateway, error)
	// ForgetGateway stops waiting for a member that will not come back.
	ForgetGateway(context.Context, ID) error
}

// NewJoinToken is what a caller may say about a join token. Lifetime zero is a
// day, Uses zero is one.
type NewJoinToken struct {
	Cluster  string
	Lifetime time.Duration
	Uses     int
}

// MintedJoinToken carries the token, shown this once.
type MintedJoinToken struct {
	Token  *JoinToken
	Secret Token
}

// JoinTokens manages what makes a process a gateway.
type JoinTokens interface {
	CreateJoinToken(context.Context, NewJoinToken) (MintedJoinToken, error)
	// ListJoinTokens leaves out revoked ones, and shows expired and used-up ones.
	ListJoinTokens(context.Context, Page) ([]*JoinToken, string, error)
	GetJoinToken(context.Context, ID) (*JoinToken, error)
	// RevokeJoinToken ends it. Gateways that joined by it stay members.
	RevokeJoinToken(context.Context, ID) error
}

// TeamModels is what GET /auth/teams/{id}/models shows of one cluster.
type TeamModels struct {
	Cluster string
	Models  []PricedModel
}

// PricedModel is a model with its price in force, nil when it has none, and
// the aliases that lead to it.
type PricedModel struct {
	Model   *Model
	Price   *Price
	Aliases []string
}

// Discovery lists what ACLs may name.
type Discovery interface {
	TeamModels(ctx context.Context, team ID) ([]TeamModels, error)
	Endpoints(ctx context.Context, team ID) ([]string, error)
}
