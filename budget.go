package gatehouse

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"
)

// BudgetPeriod is how often a budget begins anew.
type BudgetPeriod string

// The budget periods. Days, weeks and months are of the budget's zone; weeks
// begin on Monday.
const (
	BudgetDay   BudgetPeriod = "day"
	BudgetWeek  BudgetPeriod = "week"
	BudgetMonth BudgetPeriod = "month"
	BudgetTotal BudgetPeriod = "total" // never
)

// BudgetSubject is what a budget is for.
type BudgetSubject string

// The budget subjects.
const (
	BudgetTeam  BudgetSubject = "team"  // Value is empty
	BudgetKey   BudgetSubject = "key"   // Value is an API key's id, or *
	BudgetOwner BudgetSubject = "owner" // Value is a user's id, or *
	BudgetTag   BudgetSubject = "tag"   // Value is name=value, or name=*
)

// Budget bounds what a team, a key, an owner or a tag may spend in a period.
// A * in Value makes it one budget for each: "every key its own $10 a day".
// Budgets are members of their team's record, so that gateways have them.
type Budget struct {
	ID      ID            `json:"id"`
	Name    string        `json:"name"`
	Subject BudgetSubject `json:"subject"`
	Value   string        `json:"value,omitempty"`
	Amount  Ticks         `json:"amount"`
	Period  BudgetPeriod  `json:"period"`
	Zone    string        `json:"zone"` // IANA; "UTC" unless said
	// AlertAt are shares of Amount in percent at which an alert is sent, once a
	// period each; nil: 50, 80 and 100.
	AlertAt    []int     `json:"alertAt,omitempty"`
	CreateTime time.Time `json:"createTime"`
	MakerID    ID        `json:"makerId,omitzero"` // the management key that set Amount
}

// The bounds of budgets.
const (
	MaxBudgets      = 1000                  // of one team
	MaxBudgetAmount = Ticks(1e9 / 10 * USD) // $100 million
)

// DefaultAlertAt is what AlertAt is when nothing is said.
var DefaultAlertAt = []int{50, 80, 100}

// Alerts are the percents at which alerts are sent, in order.
func (b *Budget) Alerts() []int {
	if b.AlertAt == nil {
		return DefaultAlertAt
	}
	return b.AlertAt
}

// Each reports whether the budget is one for each key, owner or value of a tag.
func (b *Budget) Each() bool { return b.Value == "*" || strings.HasSuffix(b.Value, "=*") }

// Only is the one key, owner or tag value that the budget is for; empty for a
// team's, and for a budget for each.
func (b *Budget) Only() string {
	switch {
	case b.Each():
		return ""
	case b.Subject == BudgetTag:
		_, value, _ := strings.Cut(b.Value, "=")
		return value
	}
	return b.Value
}

// Applies reports whether the budget bounds a request of the key, and to which
// key, owner or tag value its spending belongs; the second is empty for a team.
func (b *Budget) Applies(key, owner ID, tags map[string]string) (string, bool) {
	switch b.Subject {
	case BudgetTeam:
		return "", true
	case BudgetKey:
		id := key.String()
		return id, b.Value == "*" || b.Value == id
	case BudgetOwner:
		id := owner.String()
		return id, !owner.IsZero() && (b.Value == "*" || b.Value == id)
	case BudgetTag:
		name, want, _ := strings.Cut(b.Value, "=")
		got, ok := tags[name]
		return got, ok && (want == "*" || want == got)
	}
	return "", false
}

// Start is the beginning of the period that at lies in; zero for a total. A
// zone that cannot be loaded counts as UTC; it was checked when it was set.
func (b *Budget) Start(at time.Time) time.Time {
	zone := zoneOf(cmp.Or(b.Zone, "UTC"))
	y, m, d := at.In(zone).Date()
	switch b.Period {
	case BudgetDay:
	case BudgetWeek:
		d -= (int(at.In(zone).Weekday()) + 6) % 7
	case BudgetMonth:
		d = 1
	default:
		return time.Time{}
	}
	return DayStart(y, m, d, zone)
}

// zones are loaded once: every request and every metered row asks.
var zones sync.Map

func zoneOf(name string) *time.Location {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location)
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	zones.Store(name, z)
	return z
}

// End is when the next period begins; zero for a total.
func (b *Budget) End(at time.Time) time.Time {
	s := b.Start(at)
	y, m, d := s.Date()
	switch b.Period {
	case BudgetDay:
		d++
	case BudgetWeek:
		d += 7
	case BudgetMonth:
		m++
	default:
		return time.Time{}
	}
	return DayStart(y, m, d, s.Location())
}

// Fund is what a request is paid from: a team's credit and spending limit, or
// one period of a budget for one subject. A request pays from all that apply.
type Fund struct {
	Team   ID
	Budget ID     // zero: the team's money
	Of     string // the key, owner or tag value of a budget for each
	Start  int64  // Unix seconds of the budget's period; 0: none
}

// Fund is where a request of the subject at a time is counted.
func (b *Budget) Fund(team ID, of string, at time.Time) Fund {
	f := Fund{Team: team, Budget: b.ID, Of: of}
	if s := b.Start(at); !s.IsZero() {
		f.Start = s.Unix()
	}
	return f
}

// String is unique: "credit/TEAM" or "budget/ID/START/OF". Of comes last, since
// it may hold anything.
func (f Fund) String() string {
	if f.Budget.IsZero() {
		return "credit/" + f.Team.String()
	}
	return fmt.Sprintf("budget/%s/%d/%s", f.Budget, f.Start, f.Of)
}

// AdmitsBudget reports when a budget exceeds what the holder of g may set.
func (g *Grant) AdmitsBudget(amount Ticks, v *Violations) {
	if g != nil && g.MaxBudget != nil && amount > *g.MaxBudget {
		v.Addf("amountCents", "must be at most %s: that is what this management key may grant", *g.MaxBudget)
	}
}
