// Package store is the contract of the truth: what a database engine must do
// for Gatehouse, whichever engine it is. Drivers live below it; storetest is
// the suite that they all pass.
//
// There are three write doors. Update is for acts of authority: everything
// written through it gets one revision, an audit leaf and a change row in the
// same transaction. Ingest and Work touch neither revision nor audit, are
// bounded to about ten milliseconds, and yield to Update, so that a revocation
// never queues behind a batch of usage.
package store

import (
	"context"
	"time"

	"gatehouse"
)

// Store is one open database.
type Store interface {
	// View runs f on a consistent snapshot.
	View(ctx context.Context, f func(View) error) error
	// Update runs f in a serial transaction and commits it durably before it
	// returns. f must be short and pure, since it may run more than once: writers
	// are grouped into one commit, each under a savepoint. The returned revision
	// is that of the commit; it is zero when f recorded nothing.
	Update(ctx context.Context, cause gatehouse.Cause, f func(Tx) error) (gatehouse.Revision, error)
	// Ingest runs f in its own transaction, for usage. Like that of Update, f may
	// run more than once.
	Ingest(ctx context.Context, f func(Ingest) error) error
	// Work runs f in its own transaction, for jobs, acknowledgements, last use; f
	// may run more than once.
	Work(ctx context.Context, f func(Work) error) error
	// Changed returns a channel that is closed after the next Update that
	// wrote a change. It is a hint: whoever waits also polls.
	Changed() <-chan struct{}
	// CheckUsage compares the rollups of a UTC day with its rows and reports
	// what differs, per team; repair puts what the rows say in the rollups'
	// place. It reads a snapshot and writes a team's day at a time, so usage and
	// Updates go on meanwhile. Days before UsageFloor are FailedPrecondition:
	// their rollups are all there is.
	CheckUsage(ctx context.Context, day time.Time, repair bool) (UsageCheck, error)
	Close() error
}

// UsageCheck is what CheckUsage found.
type UsageCheck struct {
	Day    time.Time    `json:"day"`
	Rows   int64        `json:"rows"` // looked at
	Drifts []UsageDrift `json:"drifts,omitempty"`
}

// UsageDrift is a team's day whose rollups are not the sums of its rows. The
// sums may agree: then the drift is between keys, models or hours.
type UsageDrift struct {
	Team     gatehouse.ID `json:"team"`
	Rows     UsageSum     `json:"rows"`
	Rollups  UsageSum     `json:"rollups"`
	Repaired bool         `json:"repaired,omitempty"`
}

// UsageSum is what most questions are about.
type UsageSum struct {
	Requests int64           `json:"requests"`
	Tokens   int64           `json:"tokens"`
	Ticks    gatehouse.Ticks `json:"ticks"`
}

// View reads. Absent records are gatehouse.NotFound; a record whose seal or
// audit head does not verify is gatehouse.NotFound too, and is reported to the
// log: an edited row is not served. Lists are in the order said, at most limit
// long, and start after the cursor; a zero cursor starts at the beginning.
type View interface {
	KeyView
	CatalogueView
	AuditView
	UsageView
	BillingView
	PeopleView
	LibraryView
	// Revision is that of the last Update in the snapshot.
	Revision() (gatehouse.Revision, error)
	// Changes lists what changed after a revision, in order, deduplicated by
	// record. ok is false when rows that old were trimmed: take a snapshot.
	Changes(after gatehouse.Revision, limit int) (changes []gatehouse.Change, upTo gatehouse.Revision, ok bool, err error)
	// Recall returns what Tx.Remember kept under key and has not expired.
	Recall(key string, now time.Time) (value []byte, found bool, err error)
}

// KeyView reads keys of both planes, teams and people. Tombstones are returned;
// callers decide who may see them.
type KeyView interface {
	Key(id gatehouse.ID) (*gatehouse.Key, error)
	// Keys lists a team's keys, tombstones left out, by (create time, id).
	Keys(q KeyList) ([]*gatehouse.Key, error)
	// AllKeys yields every key, tombstones included, for snapshots.
	AllKeys(yield func(*gatehouse.Key) error) error
	// LastUse reports when each secret of a key was last used, by Last4.
	LastUse(id gatehouse.ID) (map[string]time.Time, error)
	ManagementKey(id gatehouse.ID) (*gatehouse.ManagementKey, error)
	// ManagementKeys lists by (create time, id), revoked ones left out; a zero team lists all.
	ManagementKeys(team gatehouse.ID, after Cursor, limit int) ([]*gatehouse.ManagementKey, error)
	Team(id gatehouse.ID) (*gatehouse.Team, error)
	// Teams and Users list by (create time, id), deleted ones left out; a zero
	// team lists all people.
	Teams(after Cursor, limit int) ([]*gatehouse.Team, error)
	User(id gatehouse.ID) (*gatehouse.User, error)
	Users(team gatehouse.ID, after Cursor, limit int) ([]*gatehouse.User, error)
}

// Cursor is a place in a list ordered by time, then id or name.
type Cursor struct {
	Time time.Time
	ID   string
}

// KeyList narrows Keys.
type KeyList struct {
	Team       gatehouse.ID
	User       gatehouse.ID // zero: anyone's
	ACL        []string     // keys holding all of these entries
	ActiveOnly bool
	Now        time.Time // for ActiveOnly
	After      Cursor
	Limit      int
}

// CatalogueView reads what requests are routed and priced by. These sets are
// small: lists are whole, tombstones left out, in the order of name (prices:
// model, then effective time).
type CatalogueView interface {
	Upstream(id gatehouse.ID) (*gatehouse.Upstream, error) // Credential in the clear
	Upstreams() ([]*gatehouse.Upstream, error)
	Model(name string) (*gatehouse.Model, error)
	Models() ([]*gatehouse.Model, error)
	Alias(name string) (*gatehouse.Alias, error)
	Aliases() ([]*gatehouse.Alias, error)
	Price(id gatehouse.ID) (*gatehouse.Price, error)
	Prices() ([]*gatehouse.Price, error)
	Cluster(name string) (*gatehouse.Cluster, error)
	Clusters() ([]*gatehouse.Cluster, error)
	Gateways() ([]*gatehouse.Gateway, error)
	// JoinToken and Membership return tombstones too.
	JoinToken(id gatehouse.ID) (*gatehouse.JoinToken, error)
	// JoinTokens lists by (create time, id), revoked ones left out.
	JoinTokens(after Cursor, limit int) ([]*gatehouse.JoinToken, error)
	Membership(gateway gatehouse.ID) (*gatehouse.Membership, error)
	// Memberships lists by (create time, id), ended ones left out.
	Memberships() ([]*gatehouse.Membership, error)
}

// AuditView reads the audit log.
type AuditView interface {
	// Events lists by index, in the filter's direction.
	Events(f gatehouse.EventFilter) ([]gatehouse.Event, error)
	// Leaves yields raw leaves from an index on, in order.
	Leaves(from int64, yield func(Leaf) error) error
	// Tree is the size and root of the log.
	Tree() (Tree, error)
	// Checkpoint is the newest signed note, nil when none was stored.
	Checkpoint() ([]byte, error)
}

// Leaf is one row of the audit log. Body is the exact leaf data of the Merkle
// tree; Personal holds what Body only commits to, nil once erased.
type Leaf struct {
	Index     int64
	Body      []byte
	Personal  []byte
	Signature []byte // Ed25519 over index and leaf hash, by the installation's signing key
}

// Tree is the state of the log: Frontier holds the roots of its complete
// subtrees, largest first, from which the root follows and to which a leaf is
// appended without reading others.
type Tree struct {
	Size     int64
	Frontier [][32]byte
}

// UsageView reads usage.
type UsageView interface {
	// UsageCells aggregates by the scan's dimensions and bucket width, in no
	// order. Rollups answer whole quarters of an hour, and rows what sticks out at
	// the ends; rows alone answer, slowly, what asks for ByIP or ByUser.
	UsageCells(s UsageScan, yield func(UsageCell) error) error
	// UsageRows yields raw rows in order of start time.
	UsageRows(s UsageScan, yield func(*gatehouse.UsageRecord) error) error
	// UsageFloor is the time before which rows were dropped; zero when none were.
	UsageFloor() (time.Time, error)
	// Object finds who owns an id that an upstream handed out.
	Object(id string) (Object, error)
}

// Dimension is a column that usage is grouped and filtered by.
type Dimension string

// The dimensions. IP, user and end user exist on raw rows only.
const (
	ByKey      Dimension = "api_key_id"
	ByModel    Dimension = "model"
	ByEndpoint Dimension = "endpoint"
	ByCluster  Dimension = "cluster_name"
	ByIP       Dimension = "request_ip"
	ByUser     Dimension = "user_id"
)

// UsageScan selects usage of one team in [Start, End).
type UsageScan struct {
	Team       gatehouse.ID
	Start, End time.Time
	GroupBy    []Dimension
	Where      map[Dimension][]string // value is one of these
	Width      time.Duration          // bucket width of UsageCells: 15 min, 1 h, 24 h (UTC), or 0 for one bucket
	Totals     bool                   // UsageCells leaves Units and Costs zero: several times as fast
	// Most, when positive, is how many groups UsageCells yields: those with the
	// largest Rank over the whole scan, by name where they tie. Groups without
	// Items are left out then. Not with ByIP or ByUser.
	Most int
	Rank Measure
}

// Measure is a sum of a UsageCell that groups are ranked by.
type Measure string

// The measures.
const (
	RankItems  Measure = "items"
	RankAmount Measure = "amount"
	RankTokens Measure = "tokens"
	RankTicks  Measure = "ticks"
)

// UsageCell is one bucket of one group. Start is the bucket's, even where the
// scan begins inside it; without a width it is the scan's.
type UsageCell struct {
	Start    time.Time
	Group    []string // in GroupBy's order
	Requests int64
	Items    int64 // Σ of Usage.Items per request
	Amount   int64 // Σ of all Units
	Tokens   int64 // Σ of Usage.Tokens
	Ticks    gatehouse.Ticks
	Units    gatehouse.Usage
	Costs    gatehouse.Costs
}

// Object is an id that an upstream handed out (a response, a file, a batch):
// it goes back there, and only for the team that got it.
type Object struct {
	ID         string       `json:"id"`
	TeamID     gatehouse.ID `json:"team"`
	UpstreamID gatehouse.ID `json:"upstream"`
	Model      string       `json:"model"`
	CreateTime time.Time    `json:"createTime"`
}

// Tx is a View that writes. There are no bare writes: each Put writes the row
// under a seal, its audit leaf and its change row. The Revision of what is put
// is set to the transaction's, and the act's Kind, Subject and Result to what was
// done. Bringing back a tombstone is FailedPrecondition, except where a name
// identifies the record (models, aliases, clusters): a name may be taken again.
type Tx interface {
	View
	BillingTx
	LibraryTx
	// At is the revision this transaction commits under.
	At() gatehouse.Revision
	PutKey(*gatehouse.Key, gatehouse.Act) error
	PutManagementKey(*gatehouse.ManagementKey, gatehouse.Act) error
	PutTeam(*gatehouse.Team, gatehouse.Act) error
	PutUser(*gatehouse.User, gatehouse.Act) error
	PutUpstream(*gatehouse.Upstream, gatehouse.Act) error
	PutModel(*gatehouse.Model, gatehouse.Act) error
	PutAlias(*gatehouse.Alias, gatehouse.Act) error
	PutPrice(*gatehouse.Price, gatehouse.Act) error
	PutCluster(*gatehouse.Cluster, gatehouse.Act) error
	PutJoinToken(*gatehouse.JoinToken, gatehouse.Act) error
	PutMembership(*gatehouse.Membership, gatehouse.Act) error
	// ForgetGateway marks a member as gone. Its Membership, if it has one, is
	// ended by whoever calls this, in the same transaction.
	ForgetGateway(id gatehouse.ID, act gatehouse.Act) error
	// Record writes an audit leaf alone: denied calls, reads, and acts that
	// leave no record of authority behind.
	Record(gatehouse.Act) error
	// Remember keeps a value until expire, for idempotent replays.
	Remember(key string, value []byte, expire time.Time) error
}

// Ingest is the door for usage.
type Ingest interface {
	BillingIngest
	// HighWater is how far a gateway's journal has been ingested.
	HighWater(gateway gatehouse.ID, incarnation int64) (offset int64, err error)
	SetHighWater(gateway gatehouse.ID, incarnation, offset int64) error
	// InsertUsage writes rows, adds the new ones to the rollups, and posts what
	// they cost to the ledger: to credit before debt, or as metered, as their team's
	// billing mode says, and to the budgets that apply. A row whose id is already
	// there is skipped: fresh says which were written.
	InsertUsage([]gatehouse.UsageRecord) (fresh []bool, err error)
	PutObjects([]Object) error
	// Prices of a model, newest effective first, tombstones left out.
	PricesOf(model string) ([]*gatehouse.Price, error)
}

// Work is the door for bookkeeping.
type Work interface {
	BillingWork
	LibraryWork
	// SeenGateway upserts a member's state.
	SeenGateway(*gatehouse.Gateway) error
	// TouchKeys records last uses; older times than the stored are ignored.
	TouchKeys([]LastUse) error
	// PutCheckpoint stores a signed checkpoint of the audit log.
	PutCheckpoint(size int64, note []byte) error
	// Trim removes some of what is no longer needed: change rows older than before,
	// expired memory, holds that are over since then, alerts of more than 90 days,
	// and what was spent in periods of budgets that began more than 400 days ago.
	Trim(before time.Time) error
	// DropUsage removes usage rows of the UTC days that end before a time, some
	// at once: more says to call it again. Rollups stay.
	DropUsage(before time.Time) (more bool, err error)
	// Lease takes or renews a named job until then and reports whether it is
	// holder's now. Several nodes ask; one gets it until it runs out, by the
	// clocks of those who ask: only what may harmlessly be done twice rests on it.
	Lease(name, holder string, now, until time.Time) (held bool, err error)
}

// LastUse is when a secret was last used.
type LastUse struct {
	KeyID gatehouse.ID
	Last4 string
	Time  time.Time
}

// Guard is what the store needs of the installation's secrets, which are
// outside the database. Where binds a value to its place, such as
// "api_keys/<id>/<team>/digest": moved elsewhere it does not open.
type Guard interface {
	Seal(where string, plain []byte) ([]byte, error)
	Open(where string, sealed []byte) ([]byte, error)
	// Current reports whether a sealed value is of the generation that Seal writes
	// with. During a rotation Open takes others too.
	Current(sealed []byte) bool
	// MAC authenticates a row: 32 bytes.
	MAC(where string, data []byte) []byte
	// CheckMAC compares with what MAC made under any generation; current says
	// that it is the one that MAC makes now.
	CheckMAC(where string, data, mac []byte) (ok, current bool)
	// SignLeaf signs an audit leaf hash at an index, and VerifyLeaf checks that
	// the installation did, with any key that it ever had.
	SignLeaf(index int64, leafHash [32]byte) []byte
	VerifyLeaf(index int64, leafHash [32]byte, signature []byte) bool
	// Commit is a salted commitment to a personal value; salt is 16 bytes.
	Commit(salt []byte, value string) []byte
}
