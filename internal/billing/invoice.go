// Package billing makes invoices of a team's books and writes them down: lines
// rounded once, tax, the share that prepaid credit pays, and the posting that
// closes a cycle. It is arithmetic and encoding; it reads nothing and stores
// nothing.
package billing

import (
	"cmp"
	"math/big"
	"slices"

	"gatehouse"
)

// Books is what a billing cycle of a team comes to before it is closed.
type Books struct {
	Charges []gatehouse.Charge
	// Spent, Owed and Metered are what the cycle's usage took from the credit,
	// what it put on the receivable, and what was only counted. They add up to
	// the charges.
	Spent, Owed, Metered gatehouse.Ticks
	// Left is the credit that nobody has drawn: what may still pay the cents that
	// rounding and tax add. Negative counts as nothing.
	Left           gatehouse.Ticks
	TaxBasisPoints int
}

// Build computes an invoice's lines and figures, which are all of its fields
// that are about money. It fails with Internal when the books do not agree
// with themselves: nobody is to be asked for what cannot be explained.
func Build(b Books) (gatehouse.Invoice, error) {
	lines, exact, err := lines(b)
	if err != nil {
		return gatehouse.Invoice{}, err
	}
	inv := gatehouse.Invoice{Lines: lines, TaxBP: b.TaxBasisPoints}
	for _, l := range lines {
		inv.Subtotal += l.Cents
	}
	inv.Tax = half(inv.Subtotal*int64(b.TaxBasisPoints), 10_000)
	inv.Total = inv.Subtotal + inv.Tax
	inv.Rounding = gatehouse.Ticks(inv.Subtotal)*gatehouse.Cent - exact
	inv.Prepaid = prepaid(inv.Total, b)
	inv.Status = status(&inv)
	return inv, nil
}

// lines are the charges, summed per kind and in order, with what was only
// metered taken off at the end. The second result is the sum of their ticks.
func lines(b Books) ([]gatehouse.InvoiceLine, gatehouse.Ticks, error) {
	out, charged, err := merge(b.Charges)
	if err != nil {
		return nil, 0, err
	}
	billed, fits := b.Spent.Add(b.Owed)
	sum, fitsToo := billed.Add(b.Metered)
	if !fits || !fitsToo || sum != charged {
		return nil, 0, gatehouse.Errorf(gatehouse.Internal, "charges of %s and postings of %s differ", charged, sum)
	}
	if b.Metered != 0 {
		out = append(out, gatehouse.InvoiceLine{Ticks: -b.Metered, Cents: Cents(-b.Metered)})
	}
	return out, billed, nil
}

// merge sums charges of one kind and leaves out those that came to nothing, such
// as usage at a price that was corrected.
func merge(charges []gatehouse.Charge) (out []gatehouse.InvoiceLine, sum gatehouse.Ticks, err error) {
	charges = slices.Clone(charges)
	slices.SortStableFunc(charges, order)
	for i, c := range charges {
		if i == 0 || order(charges[i-1], c) != 0 {
			out = append(out, gatehouse.InvoiceLine{Cluster: c.Cluster, Model: c.Model, Unit: c.Unit, Price: c.Price, For: c.For})
		}
		l := &out[len(out)-1]
		l.Units += c.Units
		var fits, fitsToo bool
		l.Ticks, fits = l.Ticks.Add(c.Amount)
		if sum, fitsToo = sum.Add(c.Amount); !fits || !fitsToo {
			return nil, 0, gatehouse.Errorf(gatehouse.Internal, "the charges of a cycle overflow")
		}
	}
	out = slices.DeleteFunc(out, func(l gatehouse.InvoiceLine) bool { return l.Units == 0 && l.Ticks == 0 })
	for i := range out {
		out[i].Cents = Cents(out[i].Ticks)
	}
	return out, sum, nil
}

// order puts corrections of earlier cycles after the cycle's own charges.
func order(a, b gatehouse.Charge) int {
	return cmp.Or(cmp.Compare(a.For.Number(), b.For.Number()), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Model, b.Model),
		cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Price, b.Price))
}

// prepaid is how many cents of the total the credit pays. It paid for Spent when
// the requests were made, and pays the same share of rounding and tax, as far
// as there is credit for that. A total that gives money back is credit whole.
func prepaid(total int64, b Books) int64 {
	paid := total
	if usage := b.Spent + b.Owed; total > 0 && b.Owed > 0 {
		paid = min(total, max(0, share(total, b.Spent, usage)))
	}
	return min(paid, floorCents(b.Spent+max(0, b.Left)))
}

// share is total × part / whole in whole cents, rounded down.
func share(total int64, part, whole gatehouse.Ticks) int64 {
	if whole <= 0 {
		return 0
	}
	p := new(big.Int).Mul(big.NewInt(total), big.NewInt(int64(part)))
	return p.Div(p, big.NewInt(int64(whole))).Int64()
}

// Purchase is the invoice of a paid top-up: no lines, and nothing left to pay.
// Tax is asked for on what is used.
func Purchase(amount gatehouse.Ticks) gatehouse.Invoice {
	cents := int64(amount / gatehouse.Cent)
	return gatehouse.Invoice{Subtotal: cents, Total: cents, Status: gatehouse.InvoicePaid}
}

// status is how a new invoice stands: Due decides.
func status(inv *gatehouse.Invoice) gatehouse.InvoiceStatus {
	switch {
	case Due(inv) > 0:
		return gatehouse.InvoicePending
	case inv.Total > 0:
		return gatehouse.InvoicePaid
	}
	return gatehouse.InvoiceNever
}

// Due is what the invoice of a cycle asks for beyond the credit, in cents; never
// negative. Whether it was paid since, its status says.
func Due(inv *gatehouse.Invoice) int64 {
	if !inv.TopUp.IsZero() {
		return 0
	}
	return inv.Total - inv.Prepaid
}

// Entries are those of the posting that closes the cycle: afterwards the
// receivable of the cycle is Due, the credit has paid Prepaid, and rounding and
// tax stand on accounts of their own. They sum to zero; none is zero.
//
// It is so because the usage posted Spent + Owed = Σ ticks of the lines, and
// Due + Prepaid = Total = Σ ticks + Rounding + Tax.
func Entries(inv *gatehouse.Invoice, b Books) []gatehouse.Entry {
	all := []gatehouse.Entry{
		{Account: gatehouse.AccountCredit, Amount: gatehouse.Ticks(inv.Prepaid)*gatehouse.Cent - b.Spent},
		{Account: gatehouse.AccountReceivable, Amount: gatehouse.Ticks(Due(inv))*gatehouse.Cent - b.Owed},
		{Account: gatehouse.AccountRounding, Amount: -inv.Rounding},
		{Account: gatehouse.AccountTax, Amount: -gatehouse.Ticks(inv.Tax) * gatehouse.Cent},
	}
	return slices.DeleteFunc(all, func(e gatehouse.Entry) bool { return e.Amount == 0 })
}

// Cents rounds an amount to cents, half to even.
func Cents(t gatehouse.Ticks) int64 { return half(int64(t), int64(gatehouse.Cent)) }

// half divides and rounds half to even; by is positive.
func half(n, by int64) int64 {
	q, r := n/by, n%by
	if r < 0 {
		q, r = q-1, r+by
	}
	if twice := 2 * r; twice > by || twice == by && q%2 != 0 {
		q++
	}
	return q
}

// floorCents is the cents that are whole in an amount.
func floorCents(t gatehouse.Ticks) int64 {
	q := int64(t / gatehouse.Cent)
	if t%gatehouse.Cent < 0 {
		q--
	}
	return q
}
