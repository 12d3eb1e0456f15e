package gatehouse

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// BillingAccount is what a team's bills are made by: one record a team, made
// when first written. Its ID is the team's.
type BillingAccount struct {
	ID      ID              `json:"id"`
	Info    BillingInfo     `json:"info"`
	Methods []PaymentMethod `json:"methods,omitempty"`
	Default string          `json:"default,omitempty"` // a PaymentMethod's ID
	// SoftLimit bounds what a month may cost beyond the credit; the team sets it,
	// at most HardLimit. Unset it is HardLimit.
	SoftLimit *Ticks `json:"softLimit,omitempty"`
	// HardOverride replaces DefaultHardLimit; an operator sets it.
	HardOverride *Ticks `json:"hardOverride,omitempty"`
	// TaxBasisPoints is the tax on invoices: 1900 is 19 %.
	TaxBasisPoints int       `json:"taxBasisPoints,omitempty"`
	CreateTime     time.Time `json:"createTime"`
	DeleteTime     time.Time `json:"deleteTime,omitzero"`
	Revision       Revision  `json:"revision"`
}

// DefaultHardLimit is what a postpaid team may owe a month unless an operator
// says otherwise: $200, the figure of xAI's own example.
const DefaultHardLimit = 200 * USD

// HardLimit and EffectiveLimit of a month, beyond prepaid credit.
func (a *BillingAccount) HardLimit() Ticks {
	if a != nil && a.HardOverride != nil {
		return *a.HardOverride
	}
	return DefaultHardLimit
}

// EffectiveLimit is the lower of the soft and the hard limit.
func (a *BillingAccount) EffectiveLimit() Ticks {
	hard := a.HardLimit()
	if a != nil && a.SoftLimit != nil {
		return min(*a.SoftLimit, hard)
	}
	return hard
}

// BillingInfo is whom an invoice is for (wire.md §3).
type BillingInfo struct {
	Name      string  `json:"name,omitempty"`
	Address   Address `json:"address,omitzero"`
	Email     string  `json:"email,omitempty"`
	TaxIDType string  `json:"taxIdType,omitempty"` // such as us_ein
	TaxNumber string  `json:"taxNumber,omitempty"`
}

// Address is a postal address; Country is ISO 3166-1 alpha-2.
type Address struct {
	Line1      string `json:"line1,omitempty"`
	Line2      string `json:"line2,omitempty"`
	City       string `json:"city,omitempty"`
	Country    string `json:"country,omitempty"`
	PostalCode string `json:"postalCode,omitempty"`
	State      string `json:"state,omitempty"`
}

// PaymentMethod is how a team pays, as the processor that holds it describes
// it. Nothing here could charge anybody.
type PaymentMethod struct {
	ID       string      `json:"id"`   // the processor's, such as pm_…
	Type     string      `json:"type"` // card, us_bank_account, link, manual
	Info     BillingInfo `json:"info,omitzero"`
	Brand    string      `json:"brand,omitempty"` // of a card
	Last4    string      `json:"last4,omitempty"`
	ExpMonth int         `json:"expMonth,omitempty"`
	ExpYear  int         `json:"expYear,omitempty"`
	BankName string      `json:"bankName,omitempty"`
	Routing  string      `json:"routing,omitempty"`
	Email    string      `json:"email,omitempty"` // of link
	Added    time.Time   `json:"added"`
}

// TopUpStatus is how far a payment has come, spelled as xAI's wire does.
type TopUpStatus string

// The statuses that a top-up takes here.
const (
	TopUpPending   TopUpStatus = "TO_CHARGE"
	TopUpFailed    TopUpStatus = "FAILED_TO_CHARGE"
	TopUpSucceeded TopUpStatus = "SUCCEEDED"
)

// ChangeOrigin says where a change of the prepaid balance comes from.
type ChangeOrigin string

// The origins (wire.md §3).
const (
	OriginPurchase ChangeOrigin = "PURCHASE"
	OriginSpend    ChangeOrigin = "SPEND"
	OriginRefund   ChangeOrigin = "REFUND"
	OriginManual   ChangeOrigin = "MANUAL"
)

// TopUp is a payment into a team's credit. Money comes only from the processor
// saying so, by a verified event or by an operator who confirms.
type TopUp struct {
	ID         ID          `json:"id"`
	TeamID     ID          `json:"team"`
	Amount     Ticks       `json:"amount"` // > 0, whole cents
	Status     TopUpStatus `json:"status"`
	Processor  string      `json:"processor"`           // manual, or the name of a webhook's
	External   string      `json:"external,omitempty"`  // the processor's id
	InvoiceNo  string      `json:"invoiceNo,omitempty"` // once it succeeded
	Refunded   Ticks       `json:"refunded,omitempty"`  // given back so far
	Problem    string      `json:"problem,omitempty"`   // why it failed
	UserID     ID          `json:"user,omitzero"`       // who asked
	CreateTime time.Time   `json:"createTime"`
	SettleTime time.Time   `json:"settleTime,omitzero"`
	DeleteTime time.Time   `json:"deleteTime,omitzero"`
	Revision   Revision    `json:"revision"`
}

// PaymentEventType says what a payment processor tells.
type PaymentEventType string

// The payment events.
const (
	TopUpSucceededEvent PaymentEventType = "top_up.succeeded" // the money is there
	TopUpFailedEvent    PaymentEventType = "top_up.failed"    // it will not come
	TopUpRefundedEvent  PaymentEventType = "top_up.refunded"  // all or a part was given back
)

// PaymentEvent is what a payment processor told, after its signature was
// verified: the one thing beside an operator that moves money.
type PaymentEvent struct {
	Processor string // whose it is: a TopUp's Processor
	ID        string // unique per processor; the same again changes nothing
	Type      PaymentEventType
	TopUp     ID
	Amount    Ticks    // the top-up's; of a refund, what was given back
	Reference string   // the processor's name for the payment
	Digest    [32]byte // of what was signed: an id with another content is refused
}

// MinTopUp and MaxTopUp bound one top-up.
const (
	MinTopUp = 1 * USD
	MaxTopUp = 1_000_000 * USD
)

// BalanceChange is one row of the prepaid balance: top-ups, grants, refunds and
// one SPEND a cycle. Amount has the ledger's sign: credit negative.
type BalanceChange struct {
	TeamID  ID
	Origin  ChangeOrigin
	Status  TopUpStatus
	Amount  Ticks
	Time    time.Time
	Cycle   Cycle // of a SPEND
	TopUp   ID    // of a PURCHASE; zero otherwise
	Invoice string
	Process string // processor
	Note    string
}

// InvoiceStatus is how an invoice stands, spelled as xAI's wire does.
type InvoiceStatus string

// The invoice statuses.
const (
	InvoicePending InvoiceStatus = "PENDING"
	InvoicePaid    InvoiceStatus = "PAID"
	InvoiceNever   InvoiceStatus = "WILL_NEVER_BE_CHARGED" // nothing is owed
)

// InvoiceLine is a charge rounded to cents, half to even, once.
type InvoiceLine struct {
	Cluster string `json:"cluster"`
	Model   string `json:"model"`
	Unit    Unit   `json:"unit"`
	Price   Ticks  `json:"price"`
	Units   int64  `json:"units"`
	Ticks   Ticks  `json:"ticks"` // exact
	Cents   int64  `json:"cents"`
	For     Cycle  `json:"for,omitzero"` // the closed cycle that it corrects
}

// Invoice is a closed billing cycle of a team, or a paid top-up. It never
// changes but for its status.
type Invoice struct {
	ID         ID            `json:"id"`
	TeamID     ID            `json:"team"`
	Number     string        `json:"number"` // 742-250-927-721
	Cycle      Cycle         `json:"cycle,omitzero"`
	TopUp      ID            `json:"topUp,omitzero"` // of a prepaid invoice
	Status     InvoiceStatus `json:"status"`
	Lines      []InvoiceLine `json:"lines,omitempty"`
	Subtotal   int64         `json:"subtotal"` // cents
	TaxBP      int           `json:"taxBasisPoints,omitempty"`
	Tax        int64         `json:"tax"`
	Total      int64         `json:"total"`
	Prepaid    int64         `json:"prepaid"`  // cents of Total that credit paid
	Rounding   Ticks         `json:"rounding"` // Σ cents − Σ ticks, posted when it was closed
	Info       BillingInfo   `json:"info,omitzero"`
	CreateTime time.Time     `json:"createTime"`
	DeleteTime time.Time     `json:"deleteTime,omitzero"`
	Revision   Revision      `json:"revision"`
}

// SpendingLimits is what bounds a month of a team beyond its credit.
type SpendingLimits struct {
	HardOverride, Soft *Ticks
	HardAuto, Hard     Ticks
	Effective          Ticks
}

// Preview is the invoice of the running cycle as it stands.
type Preview struct {
	Invoice   Invoice
	Effective Ticks // spending limit
	Credit    Ticks // prepaid money that is left, ≥ 0
	Used      Ticks // credit that this cycle used
}

// Balance is what credit and debt stand at.
type Balance struct {
	Credit  Ticks // prepaid money left, ≥ 0
	Owed    Ticks // receivable of the running cycle
	Held    Ticks // drawn by gateways, not yet on the books
	Updated time.Time
}

// Money reads and shapes what a team pays by: xAI's billing operations.
type Money interface {
	BillingAccount(ctx context.Context, team ID) (*BillingAccount, error)
	SetBillingInfo(ctx context.Context, team ID, info BillingInfo) error
	SetDefaultPaymentMethod(ctx context.Context, team ID, method string) error
	SpendingLimits(ctx context.Context, team ID) (SpendingLimits, error)
	SetSoftLimit(ctx context.Context, team ID, limit Ticks) (Ticks, error)
	// Balance is the summary that seed dialects show as credits.
	Balance(ctx context.Context, team ID) (Balance, error)
	// BalanceChanges lists every change, newest first, and the total with the
	// ledger's sign.
	BalanceChanges(ctx context.Context, team ID) ([]BalanceChange, Ticks, error)
	// TopUp asks for a payment, or returns the one that is pending.
	TopUp(ctx context.Context, team ID, amount Ticks) (*TopUp, error)
}

// InvoiceQuery selects invoices: one cycle, all since a cycle, or by ids.
type InvoiceQuery struct {
	TeamID ID
	Cycle  Cycle
	Since  Cycle
	IDs    []ID
}

// Invoices reads closed and running cycles.
type Invoices interface {
	// ListInvoices returns invoices, newest first. Exactly one of the query's
	// three forms must be used, or none for all.
	ListInvoices(context.Context, InvoiceQuery) ([]*Invoice, error)
	GetInvoice(ctx context.Context, team, id ID) (*Invoice, error)
	PreviewInvoice(ctx context.Context, team ID) (Preview, error)
	// WriteInvoicePDF and WriteInvoiceCSV render a closed invoice; the CSV has
	// every line in ticks.
	WriteInvoicePDF(ctx context.Context, team, id ID, w io.Writer) error
	WriteInvoiceCSV(ctx context.Context, team, id ID, w io.Writer) error
}

// Treasury is the operator's side of money. All need ScopeOrganization.
type Treasury interface {
	ListTopUps(ctx context.Context, team ID, page Page) ([]*TopUp, string, error)
	// ConfirmTopUp posts the money of a pending top-up; again it changes nothing.
	ConfirmTopUp(ctx context.Context, id ID, external string) (*TopUp, error)
	// FailTopUp ends a pending top-up without money.
	FailTopUp(ctx context.Context, id ID, why string) (*TopUp, error)
	// GrantCredit gives (> 0) or takes (< 0) credit without a payment.
	GrantCredit(ctx context.Context, team ID, amount Ticks, note string) (Balance, error)
	// RefundTopUp gives money of a succeeded top-up back; at most what is left of it
	// and of the credit.
	RefundTopUp(ctx context.Context, id ID, amount Ticks) (*TopUp, error)
	// UpdateBillingAccount sets what only an operator may.
	UpdateBillingAccount(context.Context, BillingAccountUpdate) (*BillingAccount, error)
	// CloseBillingCycle makes the invoice of an ended cycle; again it returns the same.
	CloseBillingCycle(ctx context.Context, team ID, cycle Cycle) (*Invoice, error)
	// SettleInvoice marks an invoice paid, when money came outside.
	SettleInvoice(ctx context.Context, id ID) (*Invoice, error)
}

// BillingAccountUpdate changes the fields that are set.
type BillingAccountUpdate struct {
	TeamID         ID
	HardOverride   Opt[*Ticks]
	TaxBasisPoints Opt[int]
	Methods        Opt[[]PaymentMethod]
}

// Ledger reads the books and mends them. All need ScopeOrganization.
type Ledger interface {
	// ListPostings lists a team's postings, newest first.
	ListPostings(ctx context.Context, team ID, page Page) ([]*Posting, string, error)
	// Trial is the balance of every account of a team; it sums to zero.
	Trial(ctx context.Context, team ID) (map[Account]Ticks, error)
	ListHolds(ctx context.Context, team ID, page Page) ([]*Hold, string, error)
	// WriteOffHold ends a hold whose gateway will not come back. Usage that comes
	// all the same is posted all the same.
	WriteOffHold(ctx context.Context, id ID) (*Hold, error)
	// RerateUsage prices the usage of a cycle again by the price book as it is, and posts
	// the differences. A closed cycle is corrected in the running one.
	RerateUsage(ctx context.Context, team ID, cycle Cycle) (RerateReport, error)
}

// RerateReport says what a re-rating changed.
type RerateReport struct {
	Rows    int64 // looked at
	Changed int64
	Before  Ticks // Σ of the changed rows
	After   Ticks
}

// BudgetState is a budget with where it stands; one per subject of a budget
// for each that has spent in the running period.
type BudgetState struct {
	Budget Budget
	Of     string // key, owner or tag value; empty for a budget of one
	Spent  Ticks
	Held   Ticks
	Start  time.Time // of the running period; zero for a total
	End    time.Time
}

// Budgets manages what a team may spend.
type Budgets interface {
	ListBudgets(ctx context.Context, team ID) ([]Budget, error)
	GetBudget(ctx context.Context, team, id ID) (*Budget, error)
	// PutBudget creates (zero ID) or replaces. The amount must fit the caller's
	// Grant, and only who could have set a budget may raise or remove it.
	PutBudget(ctx context.Context, team ID, b Budget) (*Budget, error)
	DeleteBudget(ctx context.Context, team, id ID) error
	// BudgetStates shows the running periods of all of a team's budgets.
	BudgetStates(ctx context.Context, team ID) ([]BudgetState, error)
}

// AlertHook is where a team's alerts go. Deliveries are signed with Secret,
// which is shown once.
type AlertHook struct {
	ID         ID        `json:"id"`
	TeamID     ID        `json:"team"`
	URL        string    `json:"url,omitempty"`   // https; or
	Email      string    `json:"email,omitempty"` // an address
	Secret     string    `json:"-"`               // sealed; of a webhook
	CreateTime time.Time `json:"createTime"`
	DeleteTime time.Time `json:"deleteTime,omitzero"`
	Revision   Revision  `json:"revision"`
}

// String is the id alone: neither the secret nor a URL that may hold another
// gets into a log. GoString and LogValue are the same.
func (h AlertHook) String() string { return "alert hook " + h.ID.String() }

// GoString is String.
func (h AlertHook) GoString() string { return h.String() }

// LogValue is String.
func (h AlertHook) LogValue() slog.Value { return slog.StringValue(h.String()) }

// Alert is one message about money.
type Alert struct {
	ID     ID        `json:"id"`
	TeamID ID        `json:"team"`
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"` // budget, credit, anomaly
	Title  string    `json:"title"`
	Text   string    `json:"text"`
	Fund   string    `json:"fund,omitempty"`
	Share  int       `json:"share,omitempty"` // percent
	// Pending are the hooks that it has not reached yet; Tries how often they
	// were tried.
	Pending []ID `json:"pending,omitempty"`
	Tries   int  `json:"tries,omitempty"`
}

// AlertHooks manages where alerts go.
type AlertHooks interface {
	CreateAlertHook(context.Context, AlertHook) (*AlertHook, error) // the answer carries Secret
	ListAlertHooks(ctx context.Context, team ID) ([]*AlertHook, error)
	DeleteAlertHook(ctx context.Context, team, id ID) error
	// ListAlerts shows what was sent or is about to be, newest first.
	ListAlerts(ctx context.Context, team ID, page Page) ([]Alert, string, error)
}
