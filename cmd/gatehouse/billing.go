package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"gatehouse"
)

type billingCmd struct {
	Info       billingInfoCmd       `cmd:"" help:"Show whom invoices are for, and how the team pays."`
	SetInfo    billingSetInfoCmd    `cmd:"" help:"Change what is given of whom invoices are for, and nothing else."`
	SetMethod  billingSetMethodCmd  `cmd:"" help:"Choose the payment method to pay by."`
	Balance    billingBalanceCmd    `cmd:"" help:"Show the prepaid credit that is left, and what changed it."`
	TopUp      billingTopUpCmd      `cmd:"" help:"Ask for a payment into the credit; while one is pending, that one is shown."`
	Limits     billingLimitsCmd     `cmd:"" help:"Show what a month may cost beyond the credit."`
	SetLimit   billingSetLimitCmd   `cmd:"" help:"Set the team's own limit of a month, at most the hard one; 0 is credit alone."`
	Preview    billingPreviewCmd    `cmd:"" help:"Show the invoice of the running month as it stands."`
	Invoices   billingInvoicesCmd   `cmd:"" help:"Look at invoices; close months; settle."`
	TopUps     billingTopUpsCmd     `cmd:"" help:"Look after payments: list, confirm, fail, refund."`
	Grant      billingGrantCmd      `cmd:"" help:"Give a team credit without a payment, or take it."`
	SetAccount billingSetAccountCmd `cmd:"" help:"Set a team's hard limit and tax."`
	Postings   billingPostingsCmd   `cmd:"" help:"List a team's postings, newest first."`
	Trial      billingTrialCmd      `cmd:"" help:"Show the balance of every account of a team; exit code 1 when they do not sum to zero."`
	Holds      billingHoldsCmd      `cmd:"" help:"Look at money that gateways hold, and write off what will not come back."`
	Rerate     billingRerateCmd     `cmd:"" help:"Price the usage of a month again by the price book as it is."`
}

// paying are the flags of every command about one team's money.
type paying struct {
	remote
	Team gatehouse.ID `help:"Team. Default: the management key's own." placeholder:"ID"`
}

type billingInfoCmd struct{ paying }

// Run shows the billing information. With --json it is that alone.
func (c *billingInfoCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		methods, chosen, err := s.PaymentMethods(s, c.Team)
		if err != nil {
			return err
		}
		i, err := s.BillingInfo(s, c.Team)
		if err != nil {
			return err
		}
		a := i.Address
		pairs := []string{"name", i.Name, "line 1", a.Line1, "line 2", a.Line2, "city", a.City, "postal code", a.PostalCode,
			"state", a.State, "country", a.Country, "email", i.Email, "tax id", strings.TrimSpace(i.TaxIDType + " " + i.TaxNumber)}
		for _, m := range methods {
			name := "method"
			if m.ID == chosen {
				name = "default"
			}
			pairs = append(pairs, name, methodLine(m))
		}
		return s.record(pairs...)
	})
}

func methodLine(m gatehouse.PaymentMethod) string {
	parts := []string{m.ID, m.Type, m.Brand + m.BankName + m.Email}
	if m.Last4 != "" {
		parts = append(parts, "..."+m.Last4)
	}
	if m.ExpYear != 0 {
		parts = append(parts, fmt.Sprintf("%02d/%d", m.ExpMonth, m.ExpYear))
	}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

type billingSetInfoCmd struct {
	paying
	Name       *string `help:"Company or person." placeholder:"TEXT"`
	Line1      *string `name:"line1" help:"Street and number." placeholder:"TEXT"`
	Line2      *string `name:"line2" help:"More of the address." placeholder:"TEXT"`
	City       *string `help:"City." placeholder:"TEXT"`
	PostalCode *string `help:"Postal code." placeholder:"TEXT"`
	State      *string `help:"State or province." placeholder:"TEXT"`
	Country    *string `help:"Country, as two letters such as US." placeholder:"CODE"`
	Email      *string `help:"Where invoices go." placeholder:"ADDRESS"`
	TaxIDType  *string `name:"tax-id-type" help:"Kind of --tax-number: us_ein, eu_vat, …" placeholder:"TYPE"`
	TaxNumber  *string `help:"Tax number." placeholder:"TEXT"`
}

// Run changes the billing information: on the wire it is replaced as a whole.
func (c *billingSetInfoCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		i, err := s.BillingInfo(s, c.Team)
		if err != nil {
			return err
		}
		var members []string
		for _, m := range []struct {
			said *string
			to   *string
		}{
			{c.Name, &i.Name}, {c.Line1, &i.Address.Line1}, {c.Line2, &i.Address.Line2}, {c.City, &i.Address.City}, {c.PostalCode, &i.Address.PostalCode},
			{c.State, &i.Address.State}, {c.Country, &i.Address.Country}, {c.Email, &i.Email}, {c.TaxIDType, &i.TaxIDType}, {c.TaxNumber, &i.TaxNumber},
		} {
			say(&members, "info", m.said, m.to)
		}
		if err := something(members); err != nil {
			return err
		}
		if err := s.SetBillingInfo(s, c.Team, i); err != nil {
			return err
		}
		return s.show(func(w io.Writer) { fmt.Fprintln(w, "set the billing information") })
	})
}

type billingSetMethodCmd struct {
	paying
	ID string `arg:"" help:"The payment method's id."`
}

// Run sets the default payment method.
func (c *billingSetMethodCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		if err := s.SetDefaultPaymentMethod(s, c.Team, c.ID); err != nil {
			return err
		}
		return s.show(func(w io.Writer) { fmt.Fprintln(w, "set the payment method", line(c.ID)) })
	})
}

type billingBalanceCmd struct{ paying }

// Run shows the credit. People read what they have as positive, which the
// ledger writes as negative.
func (c *billingBalanceCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, total, err := s.BalanceChanges(s, c.Team)
		if err != nil {
			return err
		}
		rows := [][]string{{"TIME", "ORIGIN", "STATUS", "CREDIT", "MONTH", "INVOICE", "NOTE"}}
		for _, b := range all {
			rows = append(rows, []string{clock(b.Time, ""), string(b.Origin), string(b.Status), usd(-b.Amount), monthOf(b.Cycle), b.Invoice, b.Note})
		}
		return s.show(func(w io.Writer) {
			fmt.Fprintln(w, usd(-total), "left")
			if len(all) > 0 {
				columns(w, rows)
			}
		})
	})
}

type billingTopUpCmd struct {
	paying
	Amount money `arg:"" help:"How much, in dollars, such as 25 or 12.50."`
}

// Run asks for a payment.
func (c *billingTopUpCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		t, err := s.TopUp(s, c.Team, c.Amount.ticks)
		if err != nil {
			return err
		}
		if t.Amount != c.Amount.ticks {
			fmt.Fprintln(e.err, "warning: a payment of", usd(t.Amount), "is pending already")
		}
		return s.record(topUpPairs(t)...)
	})
}

func topUpPairs(t *gatehouse.TopUp) []string {
	out := []string{"id", t.ID.String(), "team", t.TeamID.String(), "amount", usd(t.Amount), "status", string(t.Status), "processor", t.Processor,
		"payment", t.External, "invoice", t.InvoiceNo, "problem", t.Problem, "asked by", t.UserID.String(),
		"created", clock(t.CreateTime, ""), "settled", clock(t.SettleTime, "")}
	if t.Refunded != 0 {
		out = append(out, "refunded", usd(t.Refunded))
	}
	return out
}

type billingLimitsCmd struct{ paying }

// Run shows spending limits.
func (c *billingLimitsCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		l, err := s.SpendingLimits(s, c.Team)
		if err != nil {
			return err
		}
		return s.record("effective", usd(l.Effective), "own", maybe(l.Soft), "hard", usd(l.Hard), "by default", usd(l.HardAuto), "by operator", maybe(l.HardOverride))
	})
}

func maybe(t *gatehouse.Ticks) string {
	if t == nil {
		return ""
	}
	return usd(*t)
}

type billingSetLimitCmd struct {
	paying
	Amount money `arg:"" help:"How much a month may cost beyond the credit, in dollars; 0 is nothing."`
}

// Run sets the soft limit.
func (c *billingSetLimitCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		set, err := s.SetSoftLimit(s, c.Team, c.Amount.ticks)
		if err != nil {
			return err
		}
		return s.record("own", usd(set))
	})
}

type billingGrantCmd struct {
	paying
	Amount money  `arg:"" help:"How much, in dollars."`
	Take   bool   `help:"Take it instead of giving."`
	Note   string `help:"What for; the team sees it." required:"" placeholder:"TEXT"`
}

// Run gives or takes credit.
func (c *billingGrantCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		amount := c.Amount.ticks
		if c.Take {
			amount = -amount
		}
		b, err := s.GrantCredit(s, c.Team, amount, c.Note)
		if err != nil {
			return err
		}
		return s.record("credit", usd(b.Credit), "owed", usd(b.Owed), "held by gateways", usd(b.Held))
	})
}

type billingSetAccountCmd struct {
	paying
	HardLimit *hardLimit `help:"What a month may cost beyond the credit, in dollars, or default." placeholder:"USD"`
	Tax       *float64   `help:"Tax on invoices, in percent to two decimals, such as 19." placeholder:"PERCENT"`
}

// hardLimit is an amount, or the installation's default.
type hardLimit struct{ ticks *gatehouse.Ticks }

// UnmarshalText reads a flag.
func (l *hardLimit) UnmarshalText(b []byte) error {
	if string(b) == "default" {
		return nil
	}
	var m money
	err := m.UnmarshalText(b)
	l.ticks = &m.ticks
	return err
}

// Run changes the billing account.
func (c *billingSetAccountCmd) Run(e *env) error {
	u := gatehouse.BillingAccountUpdate{TeamID: c.Team}
	if c.HardLimit != nil {
		u.HardOverride = gatehouse.Some(c.HardLimit.ticks)
	}
	if c.Tax != nil {
		points, err := basisPoints(*c.Tax)
		if err != nil {
			return err
		}
		u.TaxBasisPoints = gatehouse.Some(points)
	}
	if !u.HardOverride.Set && !u.TaxBasisPoints.Set {
		return something(nil)
	}
	return c.do(e, 0, func(s *session) error {
		a, err := s.UpdateBillingAccount(s, u)
		if err != nil {
			return err
		}
		return s.record("team", a.ID.String(), "effective limit", usd(a.EffectiveLimit()), "own limit", maybe(a.SoftLimit), "hard limit", usd(a.HardLimit()),
			"tax", percent(a.TaxBasisPoints), "revision", a.Revision.String())
	})
}

// basisPoints refuses what they cannot say.
func basisPoints(p float64) (int, error) {
	n, err := strconv.Atoi(strings.Replace(strconv.FormatFloat(p, 'f', 2, 64), ".", "", 1))
	if err != nil || p < 0 || strconv.FormatFloat(float64(n)/100, 'f', -1, 64) != strconv.FormatFloat(p, 'f', -1, 64) {
		return 0, gatehouse.Errorf(gatehouse.InvalidArgument, "--tax: percents to two decimals, such as 19 or 7.7")
	}
	return n, nil
}

func percent(points int) string {
	return strconv.FormatFloat(float64(points)/100, 'f', -1, 64) + " %"
}

// month is a billing cycle as an argument.
type month gatehouse.Cycle

// UnmarshalText reads YYYY-MM.
func (m *month) UnmarshalText(b []byte) error {
	c, err := gatehouse.ParseCycle(string(b))
	if err != nil {
		return fmt.Errorf("%q is no month such as 2026-01", b)
	}
	*m = month(c)
	return nil
}

func monthOf(c gatehouse.Cycle) string {
	if c.IsZero() {
		return ""
	}
	return c.String()
}
