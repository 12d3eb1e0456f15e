package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"gatehouse"
	"gatehouse/internal/billing"
)

type billingInvoicesCmd struct {
	List   invoicesListCmd   `cmd:"" help:"List a team's invoices, newest first."`
	Show   invoicesShowCmd   `cmd:"" help:"Show one invoice, line by line."`
	Pdf    invoicesPDFCmd    `cmd:"" help:"Write an invoice as PDF."`
	Csv    invoicesCSVCmd    `cmd:"" help:"Write an invoice as CSV, every line exact."`
	Close  invoicesCloseCmd  `cmd:"" help:"Make the invoice of a month that has ended. Again it shows the same."`
	Settle invoicesSettleCmd `cmd:"" help:"Mark an invoice paid, when money came outside."`
}

type invoicesListCmd struct {
	paying
	Month month `help:"Only of this month, such as 2026-01." xor:"form" placeholder:"MONTH"`
	Since month `help:"Only of this month and later." xor:"form" placeholder:"MONTH"`
}

// Run lists invoices.
func (c *invoicesListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		all, err := s.ListInvoices(s, gatehouse.InvoiceQuery{TeamID: c.Team, Cycle: gatehouse.Cycle(c.Month), Since: gatehouse.Cycle(c.Since)})
		if err != nil {
			return err
		}
		return s.table("ID NUMBER MONTH STATUS TOTAL PREPAID CREATED", each(all, func(inv *gatehouse.Invoice) []string {
			return []string{inv.ID.String(), inv.Number, invoiceFor(inv), string(inv.Status), dollars(inv.Total), dollars(inv.Prepaid), clock(inv.CreateTime, "")}
		}))
	})
}

// invoiceFor is the month of an invoice, or that it is for credit.
func invoiceFor(inv *gatehouse.Invoice) string {
	if inv.Cycle.IsZero() {
		return "top-up"
	}
	return inv.Cycle.String()
}

// dollars shows cents.
func dollars(cents int64) string { return usd(gatehouse.Ticks(cents) * gatehouse.Cent) }

type oneInvoice struct {
	paying
	ID gatehouse.ID `arg:"" help:"The invoice's id."`
}

type invoicesShowCmd struct{ oneInvoice }

// Run shows an invoice.
func (c *invoicesShowCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		inv, err := s.GetInvoice(s, c.Team, c.ID)
		if err != nil {
			return err
		}
		return s.invoice(inv)
	})
}

// invoice prints one: what it comes to, then its lines.
func (s *session) invoice(inv *gatehouse.Invoice) error {
	return s.show(func(w io.Writer) {
		pairs := [][]string{{"id", inv.ID.String()}, {"number", inv.Number}, {"month", invoiceFor(inv)}, {"status", string(inv.Status)},
			{"for", inv.Info.Name}, {"created", clock(inv.CreateTime, "")}}
		sums(w, append(pairs, totals(inv)...), inv.Lines)
	})
}

func totals(inv *gatehouse.Invoice) [][]string {
	return [][]string{{"subtotal", dollars(inv.Subtotal)}, {"tax", dollars(inv.Tax)}, {"total", dollars(inv.Total)},
		{"paid by credit", dollars(inv.Prepaid)}, {"asked for", dollars(billing.Due(inv))}}
}

func sums(w io.Writer, pairs [][]string, lines []gatehouse.InvoiceLine) {
	columns(w, pairs)
	if len(lines) == 0 {
		return
	}
	rows := [][]string{{"CLUSTER", "MODEL", "UNIT", "PRICE", "UNITS", "AMOUNT", "CORRECTS"}}
	for _, l := range lines {
		rows = append(rows, []string{l.Cluster, l.Model, billing.UnitType(l), perUnit(l.Unit, l.Price), strconv.FormatInt(l.Units, 10), dollars(l.Cents), monthOf(l.For)})
	}
	fmt.Fprintln(w)
	columns(w, rows)
}

type invoicesPDFCmd struct {
	oneInvoice
	Out string `help:"File to write. Default: standard output." placeholder:"FILE"`
}

// Run writes the PDF.
func (c *invoicesPDFCmd) Run(e *env) error {
	return c.file(e, c.Out, func(s *session) func(context.Context, gatehouse.ID, gatehouse.ID, io.Writer) error {
		return s.WriteInvoicePDF
	})
}

type invoicesCSVCmd struct {
	oneInvoice
	Out string `help:"File to write. Default: standard output." placeholder:"FILE"`
}

// Run writes the CSV.
func (c *invoicesCSVCmd) Run(e *env) error {
	return c.file(e, c.Out, func(s *session) func(context.Context, gatehouse.ID, gatehouse.ID, io.Writer) error {
		return s.WriteInvoiceCSV
	})
}

// file writes an invoice whole, or nothing.
func (c *oneInvoice) file(e *env, out string, of func(*session) func(context.Context, gatehouse.ID, gatehouse.ID, io.Writer) error) error {
	return c.do(e, 0, func(s *session) error {
		var b bytes.Buffer
		if err := of(s)(s, c.Team, c.ID, &b); err != nil {
			return err
		}
		if out != "" {
			return os.WriteFile(out, b.Bytes(), 0o600)
		}
		_, err := e.out.Write(b.Bytes())
		return err
	})
}

type invoicesCloseCmd struct {
	paying
	Month month `arg:"" help:"The month, such as 2026-01."`
}

// Run closes a month.
func (c *invoicesCloseCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		inv, err := s.CloseBillingCycle(s, c.Team, gatehouse.Cycle(c.Month))
		if err != nil {
			return err
		}
		return s.invoice(inv)
	})
}

type invoicesSettleCmd struct {
	remote
	ID gatehouse.ID `arg:"" help:"The invoice's id."`
}

// Run settles an invoice.
func (c *invoicesSettleCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		inv, err := s.SettleInvoice(s, c.ID)
		if err != nil {
			return err
		}
		return s.invoice(inv)
	})
}

type billingPreviewCmd struct{ paying }

// Run shows the running month.
func (c *billingPreviewCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		p, err := s.PreviewInvoice(s, c.Team)
		if err != nil {
			return err
		}
		return s.show(func(w io.Writer) {
			pairs := append([][]string{{"month", p.Invoice.Cycle.String()}}, totals(&p.Invoice)...)
			sums(w, append(pairs, []string{"credit left", usd(p.Credit)}, []string{"limit", usd(p.Effective)}), p.Invoice.Lines)
		})
	})
}
