package client_test

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gatehouse"
	"gatehouse/client"
	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	"gatehouse/internal/api/apitest"
	"gatehouse/internal/api/xai"
)

// payer is what both sides have.
type payer interface {
	gatehouse.Money
	gatehouse.Invoices
	gatehouse.Treasury
	gatehouse.Ledger
}

// pair is the same management plane twice: as it is, and over HTTP.
type pair struct {
	t    *testing.T
	near payer
	far  *client.Client
}

func newPair(t *testing.T) pair {
	t.Helper()
	backend, words := apitest.New()
	srv := httptest.NewServer(api.New(backend, api.Options{Rate: -1, Logger: slog.New(slog.DiscardHandler)}, xai.Face(), admin.Face()))
	t.Cleanup(srv.Close)
	key, err := client.ParseKey(words["full"])
	check(t, err)
	c, err := client.New(srv.URL, key)
	check(t, err)
	t.Cleanup(c.Close)
	return pair{t, backend.As(&gatehouse.Call{Token: key, Committed: new(gatehouse.Revision)}), c}
}

// same compares what two callers were told; what the wire leaves out is ignored.
func same[T any](p pair, what string, ask func(payer) (T, error), lost ...cmp.Option) {
	p.t.Helper()
	want, err := ask(p.near)
	check(p.t, err)
	got, err := ask(p.far)
	check(p.t, err)
	if d := cmp.Diff(want, got, append(lost, cmpopts.EquateEmpty())...); d != "" {
		p.t.Errorf("%s over HTTP differs (-want +got):\n%s", what, d)
	}
}

func ignore(v any, fields ...string) cmp.Option { return cmpopts.IgnoreFields(v, fields...) }

// What the operator's routes say is exact.
func TestTheBooksAreExactOverHTTP(t *testing.T) {
	p := newPair(t)
	ctx, team, id := t.Context(), apitest.Prepaid, apitest.KeyID
	none := gatehouse.Page{}
	same(p, "ListTopUps", func(c payer) ([]*gatehouse.TopUp, error) {
		all, _, err := c.ListTopUps(ctx, team, none)
		return all, err
	})
	same(p, "ConfirmTopUp", func(c payer) (*gatehouse.TopUp, error) { return c.ConfirmTopUp(ctx, id, "transfer") })
	same(p, "FailTopUp", func(c payer) (*gatehouse.TopUp, error) { return c.FailTopUp(ctx, id, "no money") })
	same(p, "RefundTopUp", func(c payer) (*gatehouse.TopUp, error) { return c.RefundTopUp(ctx, id, 12*gatehouse.USD) })
	same(p, "GrantCredit", func(c payer) (gatehouse.Balance, error) { return c.GrantCredit(ctx, team, -gatehouse.USD, "typo") })
	same(p, "GetInvoice", func(c payer) (*gatehouse.Invoice, error) { return c.GetInvoice(ctx, team, id) })
	same(p, "SettleInvoice", func(c payer) (*gatehouse.Invoice, error) { return c.SettleInvoice(ctx, id) })
	same(p, "CloseBillingCycle", func(c payer) (*gatehouse.Invoice, error) {
		return c.CloseBillingCycle(ctx, team, gatehouse.Cycle{Year: 2025, Month: 11})
	})
	same(p, "UpdateBillingAccount", func(c payer) (*gatehouse.BillingAccount, error) {
		return c.UpdateBillingAccount(ctx, gatehouse.BillingAccountUpdate{
			TeamID: apitest.Postpaid, HardOverride: gatehouse.Some(new(300 * gatehouse.USD)), TaxBasisPoints: gatehouse.Some(700),
			Methods: gatehouse.Some([]gatehouse.PaymentMethod{{ID: "l", Type: "link", Email: "a@example.com"}, {ID: "m", Type: "manual"}}),
		})
	})
	same(p, "UpdateBillingAccount to the default", func(c payer) (*gatehouse.BillingAccount, error) {
		return c.UpdateBillingAccount(ctx, gatehouse.BillingAccountUpdate{TeamID: apitest.Postpaid, HardOverride: gatehouse.Some[*gatehouse.Ticks](nil)})
	})
	same(p, "ListPostings", func(c payer) ([]*gatehouse.Posting, error) {
		all, _, err := c.ListPostings(ctx, team, none)
		return all, err
	})
	same(p, "Trial", func(c payer) (map[gatehouse.Account]gatehouse.Ticks, error) { return c.Trial(ctx, team) })
	same(p, "ListHolds", func(c payer) ([]*gatehouse.Hold, error) { all, _, err := c.ListHolds(ctx, team, none); return all, err })
	same(p, "WriteOffHold", func(c payer) (*gatehouse.Hold, error) { return c.WriteOffHold(ctx, id) })
	same(p, "RerateUsage", func(c payer) (gatehouse.RerateReport, error) {
		return c.RerateUsage(ctx, team, gatehouse.Cycle{Year: 2025, Month: 11})
	})
	for name, write := range map[string]func(payer, *bytes.Buffer) error{
		"CSV": func(c payer, b *bytes.Buffer) error { return c.WriteInvoiceCSV(ctx, team, id, b) },
		"PDF": func(c payer, b *bytes.Buffer) error { return c.WriteInvoicePDF(ctx, team, id, b) },
	} {
		same(p, name, func(c payer) (string, error) { var b bytes.Buffer; err := write(c, &b); return b.String(), err })
	}
}

// xAI's routes count in cents and leave out what it does not have.
func TestBillingOverHTTPIsToTheCent(t *testing.T) {
	p := newPair(t)
	ctx := t.Context()
	cent := cmp.Transformer("cents", func(x gatehouse.Ticks) int64 { return api.Cent(x).Val })
	for _, team := range []gatehouse.ID{apitest.Team, apitest.Prepaid, apitest.Postpaid} {
		same(p, "BillingAccount", func(c payer) (*gatehouse.BillingAccount, error) { return c.BillingAccount(ctx, team) },
			ignore(gatehouse.BillingAccount{}, "TaxBasisPoints", "CreateTime", "Revision"))
		same(p, "SpendingLimits", func(c payer) (gatehouse.SpendingLimits, error) { return c.SpendingLimits(ctx, team) })
		same(p, "SetSoftLimit", func(c payer) (gatehouse.Ticks, error) { return c.SetSoftLimit(ctx, team, 10*gatehouse.USD) })
		same(p, "BalanceChanges", func(c payer) ([]gatehouse.BalanceChange, error) {
			all, _, err := c.BalanceChanges(ctx, team)
			return all, err
		}, cent)
		same(p, "the total", func(c payer) (gatehouse.Ticks, error) {
			_, total, err := c.BalanceChanges(ctx, team)
			return total, err
		})
		same(p, "TopUp", func(c payer) (*gatehouse.TopUp, error) { return c.TopUp(ctx, team, 5*gatehouse.USD) },
			ignore(gatehouse.TopUp{}, "UserID", "Revision"))
		same(p, "ListInvoices", func(c payer) ([]*gatehouse.Invoice, error) {
			return c.ListInvoices(ctx, gatehouse.InvoiceQuery{TeamID: team, Since: gatehouse.Cycle{Year: 2025, Month: 11}})
		}, ignore(gatehouse.InvoiceLine{}, "Model"), ignore(gatehouse.Invoice{}, "Info", "Revision", "TaxBP", "Rounding"))
		same(p, "PreviewInvoice", func(c payer) (gatehouse.Preview, error) { return c.PreviewInvoice(ctx, team) }, cent,
			ignore(gatehouse.InvoiceLine{}, "Model"),
			ignore(gatehouse.Invoice{}, "ID", "TeamID", "Number", "Status", "TopUp", "Info", "CreateTime", "Revision", "TaxBP", "Rounding"))
	}
	b, err := p.far.Balance(ctx, apitest.Prepaid)
	check(t, err)
	if b.Credit != 10*gatehouse.USD || b.Owed != 0 {
		t.Errorf("balance %+v", b)
	}
	check(t, p.far.SetBillingInfo(ctx, apitest.Prepaid, gatehouse.BillingInfo{Address: gatehouse.Address{Country: "US"}}))
	check(t, p.far.SetDefaultPaymentMethod(ctx, apitest.Prepaid, "pm_bank"))
	if _, err := p.far.TopUp(ctx, apitest.Prepaid, gatehouse.USD+1); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
		t.Errorf("a fraction of a cent: %v", err)
	}
	both := gatehouse.InvoiceQuery{Cycle: gatehouse.Cycle{Year: 2025, Month: 1}, Since: gatehouse.Cycle{Year: 2025, Month: 1}}
	if _, err := p.far.ListInvoices(ctx, both); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
		t.Errorf("two forms: %v", err)
	}
}
