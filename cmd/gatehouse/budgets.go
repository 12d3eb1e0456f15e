package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse"
)

type budgetsCmd struct {
	List   budgetsListCmd   `cmd:"" help:"List a team's budgets."`
	Create budgetsCreateCmd `cmd:"" help:"Create a budget. It counts what is used from then on."`
	Update budgetsUpdateCmd `cmd:"" help:"Change a budget's name, amount or alerts."`
	Delete budgetsDeleteCmd `cmd:"" help:"End a budget."`
	Status budgetsStatusCmd `cmd:"" help:"Show what is spent in the running periods."`
}

type budgetsListCmd struct {
	remote
	Team gatehouse.ID `help:"Team. Default: your own." placeholder:"ID"`
}

// Run lists budgets.
func (c *budgetsListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := s.ListBudgets(s, c.Team)
		if err != nil {
			return err
		}
		return s.table("ID NAME FOR AMOUNT PERIOD ZONE ALERTS", each(all, func(b gatehouse.Budget) []string {
			return []string{b.ID.String(), b.Name, budgetFor(&b), usd(b.Amount), string(b.Period), b.Zone, percents(b.AlertAt)}
		}))
	})
}

func budgetFor(b *gatehouse.Budget) string {
	if b.Value == "" {
		return string(b.Subject)
	}
	return string(b.Subject) + ":" + b.Value
}

func percents(list []int) string {
	return strings.Join(each(list, func(p int) string { return strconv.Itoa(p) + "%" }), ",")
}

// budgetSubject is what a budget is for, in one flag.
type budgetSubject struct {
	subject gatehouse.BudgetSubject
	value   string
}

// UnmarshalText reads team, key:ID, owner:ID or tag:NAME=VALUE; * for each.
func (b *budgetSubject) UnmarshalText(text []byte) error {
	subject, value, _ := strings.Cut(string(text), ":")
	switch b.subject, b.value = gatehouse.BudgetSubject(subject), value; b.subject {
	case gatehouse.BudgetTeam, gatehouse.BudgetKey, gatehouse.BudgetOwner, gatehouse.BudgetTag:
		return nil
	}
	return fmt.Errorf("%q is none of team, key:ID, owner:ID and tag:NAME=VALUE", text)
}

type budgetsCreateCmd struct {
	remote
	Name    string        `help:"What refusals call it; unique in the team." required:"" placeholder:"TEXT"`
	Amount  money         `help:"How much may be spent in a period, in dollars." required:"" placeholder:"USD"`
	For     budgetSubject `help:"What it is for: team, key:ID, owner:ID or tag:NAME=VALUE; * in place of the last for each its own." default:"team" placeholder:"SUBJECT"`
	Period  string        `help:"How often it begins anew: day, week, month, or total for never." enum:"day,week,month,total" default:"month"`
	Zone    string        `help:"Time zone in which periods begin, such as Europe/Berlin." default:"UTC" placeholder:"ZONE"`
	AlertAt []int         `help:"Percents at which an alert is sent. Default: 50, 80 and 100." placeholder:"PERCENT"`
	Team    gatehouse.ID  `help:"Team. Default: your own." placeholder:"ID"`
}

// Run creates a budget.
func (c *budgetsCreateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		b, err := s.PutBudget(s, c.Team, gatehouse.Budget{
			Name: c.Name, Amount: c.Amount.ticks, Subject: c.For.subject, Value: c.For.value, Period: gatehouse.BudgetPeriod(c.Period), Zone: c.Zone, AlertAt: c.AlertAt,
		})
		if err != nil {
			return err
		}
		return s.budget(b)
	})
}

func (s *session) budget(b *gatehouse.Budget) error {
	return s.record("id", b.ID.String(), "name", b.Name, "for", budgetFor(b), "amount", usd(b.Amount), "period", string(b.Period), "zone", b.Zone,
		"alerts", percents(b.AlertAt), "created", clock(b.CreateTime, ""), "set by", b.MakerID.String())
}

type budgetsUpdateCmd struct {
	remote
	ID      gatehouse.ID `arg:"" help:"The budget's id."`
	Name    *string      `help:"New name." placeholder:"TEXT"`
	Amount  money        `help:"New amount in dollars." placeholder:"USD"`
	AlertAt []int        `help:"Percents at which an alert is sent." placeholder:"PERCENT"`
	Team    gatehouse.ID `help:"Team. Default: your own." placeholder:"ID"`
}

// Run changes a budget: what is not given is as it was.
func (c *budgetsUpdateCmd) Run(e *env) error {
	if c.Name == nil && !c.Amount.given && c.AlertAt == nil {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "nothing to change: give --name, --amount or --alert-at")
	}
	return c.do(e, 0, func(s *session) error {
		b, err := s.GetBudget(s, c.Team, c.ID)
		if err != nil {
			return err
		}
		if c.Name != nil {
			b.Name = *c.Name
		}
		if c.Amount.given {
			b.Amount = c.Amount.ticks
		}
		if c.AlertAt != nil {
			b.AlertAt = c.AlertAt
		}
		if b, err = s.PutBudget(s, c.Team, *b); err != nil {
			return err
		}
		return s.budget(b)
	})
}

type budgetsDeleteCmd struct {
	remote
	ID   gatehouse.ID `arg:"" help:"The budget's id."`
	Team gatehouse.ID `help:"Team. Default: your own." placeholder:"ID"`
}

// Run ends a budget.
func (c *budgetsDeleteCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.gone("budget", c.ID.String(), s.DeleteBudget(s, c.Team, c.ID)) })
}

type budgetsStatusCmd struct {
	remote
	Team gatehouse.ID `help:"Team. Default: your own." placeholder:"ID"`
}

// Run shows where budgets stand.
func (c *budgetsStatusCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := s.BudgetStates(s, c.Team)
		if err != nil {
			return err
		}
		return s.table("BUDGET OF SPENT HELD AMOUNT USED ENDS", each(all, func(b gatehouse.BudgetState) []string {
			return []string{b.Budget.Name, b.Of, usd(b.Spent), usd(b.Held), usd(b.Budget.Amount),
				fmt.Sprintf("%.0f%%", 100*b.Spent.Float()/b.Budget.Amount.Float()), clock(b.End, "never")}
		}))
	})
}

type alertsCmd struct {
	List   alertsListCmd   `cmd:"" help:"List alerts, newest first."`
	Hooks  alertHooksCmd   `cmd:"" help:"List where a team's alerts go."`
	Add    alertAddCmd     `cmd:"" help:"Send a team's alerts to a webhook or a mail address. A webhook's signing secret is printed, this once."`
	Remove alertsRemoveCmd `cmd:"" help:"Send a team's alerts there no longer."`
}

type alertsListCmd struct {
	remote
	paging
	Team gatehouse.ID `help:"Team. Default: your own." placeholder:"ID"`
}

// Run lists alerts.
func (c *alertsListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]gatehouse.Alert, string, error) { return s.ListAlerts(s, c.Team, p) })
		if err != nil {
			return err
		}
		return s.table("TIME KIND ALERT WAITING", each(all, func(a gatehouse.Alert) []string {
			return []string{a.Time.Format(time.RFC3339), a.Kind, line(a.Title + ". " + a.Text), strconv.Itoa(len(a.Pending))}
		}))
	})
}

type alertHooksCmd struct {
	remote
	Team gatehouse.ID `help:"Team. Default: your own." placeholder:"ID"`
}

// Run lists hooks.
func (c *alertHooksCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := s.ListAlertHooks(s, c.Team)
		if err != nil {
			return err
		}
		return s.table("ID TO CREATED", each(all, func(h *gatehouse.AlertHook) []string {
			return []string{h.ID.String(), h.URL + h.Email, clock(h.CreateTime, "")}
		}))
	})
}

type alertAddCmd struct {
	remote
	URL   string       `name:"webhook" help:"Webhook to post to (https)." xor:"to" placeholder:"URL"`
	Email string       `help:"Address to mail to." xor:"to" placeholder:"ADDRESS"`
	Team  gatehouse.ID `help:"Team. Default: your own." placeholder:"ID"`
}

// Run adds a hook.
func (c *alertAddCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		h, err := s.CreateAlertHook(s, gatehouse.AlertHook{TeamID: c.Team, URL: c.URL, Email: c.Email})
		if err != nil {
			return err
		}
		return s.record("id", h.ID.String(), "to", h.URL+h.Email, "secret", h.Secret)
	})
}

type alertsRemoveCmd struct {
	remote
	ID   gatehouse.ID `arg:"" help:"The hook's id."`
	Team gatehouse.ID `help:"Team. Default: your own." placeholder:"ID"`
}

// Run removes a hook.
func (c *alertsRemoveCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error { return s.gone("alert hook", c.ID.String(), s.DeleteAlertHook(s, c.Team, c.ID)) })
}
