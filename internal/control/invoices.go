package control

import (
	"context"
	"io"

	"gatehouse"
	"gatehouse/internal/billing"
	"gatehouse/internal/store"
)

// maxInvoiceIDs bounds a question for invoices by id.
const maxInvoiceIDs = 100

// ListInvoices implements gatehouse.Invoices. A paid top-up counts in the cycle
// that it was paid in.
func (c *Caller) ListInvoices(ctx context.Context, q gatehouse.InvoiceQuery) ([]*gatehouse.Invoice, error) {
	return ofTeam(ctx, c, gatehouse.ListInvoices, gatehouse.Act{Action: "invoice.listed"}, q.TeamID,
		func(v store.View, who *principal, t *gatehouse.Team) ([]*gatehouse.Invoice, error) {
			if err := checkInvoiceQuery(q); err != nil {
				return nil, err
			}
			all, err := v.Invoices(t.ID)
			if err != nil {
				return nil, err
			}
			return selected(all, q)
		})
}

func checkInvoiceQuery(q gatehouse.InvoiceQuery) error {
	var bad gatehouse.Violations
	forms := 0
	for field, cycle := range map[string]gatehouse.Cycle{"billingCycle": q.Cycle, "since": q.Since} {
		if cycle.IsZero() {
			continue
		}
		forms++
		checkCycle(field, cycle, &bad)
	}
	if len(q.IDs) > 0 {
		forms++
	}
	if forms > 1 {
		bad.Addf("billingCycle", "ask for one of billingCycle, since and invoiceIds")
	}
	if len(q.IDs) > maxInvoiceIDs {
		bad.Addf("invoiceIds", "at most %d", maxInvoiceIDs)
	}
	return bad.Err()
}

func checkCycle(field string, c gatehouse.Cycle, bad *gatehouse.Violations) {
	if !c.Valid() {
		bad.Addf(field, "must be a year from 2000 to 2200 and a month from 1 to 12")
	}
}

// selected keeps what a query asks for. An id that is not among the team's is
// NotFound, whoever's it is.
func selected(all []*gatehouse.Invoice, q gatehouse.InvoiceQuery) (out []*gatehouse.Invoice, err error) {
	wanted := map[gatehouse.ID]bool{}
	for _, id := range q.IDs {
		wanted[id] = true
	}
	for _, inv := range all {
		cycle := inv.Cycle
		if cycle.IsZero() {
			cycle = gatehouse.CycleOf(inv.CreateTime)
		}
		if (len(q.IDs) == 0 || wanted[inv.ID]) && (q.Cycle.IsZero() || cycle == q.Cycle) && !cycle.Less(q.Since) {
			out = append(out, inv)
		}
	}
	if len(out) < len(wanted) {
		return nil, missing("invoice")
	}
	return out, nil
}

// GetInvoice implements gatehouse.Invoices.
func (c *Caller) GetInvoice(ctx context.Context, team, id gatehouse.ID) (*gatehouse.Invoice, error) {
	return read(ctx, c, query[*gatehouse.Invoice]{
		op: gatehouse.GetInvoice, act: gatehouse.Act{Action: "invoice.read", Kind: gatehouse.KindInvoice, Subject: id.String(), TeamID: team},
		run: func(v store.View, who *principal) (*gatehouse.Invoice, error) {
			inv, err := invoiceOf(v, who, id)
			if err == nil && !team.IsZero() && inv.TeamID != team {
				err = missing("invoice")
			}
			if err != nil {
				return nil, err
			}
			return inv, nil
		},
	})
}

// invoiceOf is an invoice if the caller may know it.
func invoiceOf(v store.View, who *principal, id gatehouse.ID) (*gatehouse.Invoice, error) {
	inv, err := found(v.Invoice(id))
	if err != nil {
		return nil, err
	}
	if inv == nil || !who.reaches(inv.TeamID) {
		return nil, missing("invoice")
	}
	return inv, nil
}

// WriteInvoicePDF implements gatehouse.Invoices.
func (c *Caller) WriteInvoicePDF(ctx context.Context, team, id gatehouse.ID, w io.Writer) error {
	return c.writeInvoice(ctx, team, id, w, billing.WritePDF)
}

// WriteInvoiceCSV implements gatehouse.Invoices.
func (c *Caller) WriteInvoiceCSV(ctx context.Context, team, id gatehouse.ID, w io.Writer) error {
	return c.writeInvoice(ctx, team, id, w, billing.WriteCSV)
}

func (c *Caller) writeInvoice(ctx context.Context, team, id gatehouse.ID, w io.Writer, write func(io.Writer, *gatehouse.Invoice) error) error {
	inv, err := c.GetInvoice(ctx, team, id)
	if err != nil {
		return err
	}
	return write(w, inv)
}

// PreviewInvoice implements gatehouse.Invoices: what closing the running cycle
// would make, were it over now.
func (c *Caller) PreviewInvoice(ctx context.Context, team gatehouse.ID) (gatehouse.Preview, error) {
	return ofTeam(ctx, c, c.under(gatehouse.GetAmountToPay), gatehouse.Act{Action: "invoice.previewed"}, team,
		func(v store.View, who *principal, t *gatehouse.Team) (out gatehouse.Preview, err error) {
			account, err := accountOf(v, t.ID)
			if err != nil {
				return out, err
			}
			cycle := gatehouse.CycleOf(who.now)
			books, _, err := booksOf(v, t, account, cycle)
			if err != nil {
				return out, err
			}
			inv, err := billing.Build(books)
			if err != nil {
				return out, err
			}
			left, _, err := creditOf(v, t.ID)
			inv.TeamID, inv.Cycle, inv.Info, inv.CreateTime = t.ID, cycle, account.Info, utc(who.now)
			return gatehouse.Preview{Invoice: inv, Effective: effective(t, account), Credit: max(0, left), Used: max(0, books.Spent)}, err
		})
}
