package billing_test

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"gatehouse"
	"gatehouse/internal/billing"
)

var (
	june = gatehouse.Cycle{Year: 2026, Month: 6}
	july = gatehouse.Cycle{Year: 2026, Month: 7}
)

// someCharges makes charges that may be of one kind, free, or corrections.
func someCharges(r *rapid.T) (out []gatehouse.Charge, sum gatehouse.Ticks) {
	for range rapid.IntRange(0, 12).Draw(r, "charges") {
		c := gatehouse.Charge{
			Cluster: rapid.SampledFrom([]string{"east", "west"}).Draw(r, "cluster"),
			Model:   rapid.SampledFrom([]string{"grok-4", "=cmd"}).Draw(r, "model"),
			Unit:    gatehouse.Unit(rapid.IntRange(0, 2).Draw(r, "unit")),
			Price:   gatehouse.Ticks(rapid.SampledFrom([]int64{0, 1, 12_500, 20_000, 5e7, 1e8}).Draw(r, "price")),
			Units:   rapid.Int64Range(-3_000, 1_000_000).Draw(r, "units"),
		}
		if rapid.IntRange(0, 4).Draw(r, "corrects") == 0 {
			c.For = june
		}
		c.Amount = c.Price * gatehouse.Ticks(c.Units)
		out, sum = append(out, c), sum+c.Amount
	}
	return out, sum
}

// someBooks divides the charges' sum among credit, receivable and metered.
func someBooks(r *rapid.T) billing.Books {
	charges, sum := someCharges(r)
	b := billing.Books{Charges: charges, TaxBasisPoints: rapid.IntRange(0, 10_000).Draw(r, "tax")}
	b.Left = gatehouse.Ticks(rapid.Int64Range(-1e9, 1e13).Draw(r, "left"))
	if rapid.Bool().Draw(r, "metered") && sum > 0 {
		b.Metered = gatehouse.Ticks(rapid.Int64Range(0, int64(sum)).Draw(r, "metered ticks"))
	}
	sum -= b.Metered
	b.Spent = sum
	if rapid.Bool().Draw(r, "owed") && sum > 0 {
		b.Spent = gatehouse.Ticks(rapid.Int64Range(0, int64(sum)).Draw(r, "spent"))
	}
	b.Owed = sum - b.Spent
	return b
}

// halfEven is the oracle: rationals, rounded by the definition.
func halfEven(x *big.Rat) int64 {
	floor := new(big.Int).Div(x.Num(), x.Denom())
	rest := new(big.Rat).Sub(x, new(big.Rat).SetInt(floor))
	switch c := rest.Cmp(big.NewRat(1, 2)); {
	case c > 0, c == 0 && floor.Bit(0) == 1:
		floor.Add(floor, big.NewInt(1))
	}
	return floor.Int64()
}

// Every line is rounded once, half to even, and the sums are those of the
// rounded lines: nothing is rounded twice and nothing is lost on the way.
func TestAnInvoiceIsWhatTheChargesCome(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := someBooks(r)
		inv, err := billing.Build(b)
		if err != nil {
			r.Fatal(err)
		}
		var subtotal int64
		var exact gatehouse.Ticks
		for _, l := range inv.Lines {
			if want := halfEven(big.NewRat(int64(l.Ticks), int64(gatehouse.Cent))); l.Cents != want {
				r.Fatalf("line of %s is %d cents, want %d", l.Ticks, l.Cents, want)
			}
			subtotal, exact = subtotal+l.Cents, exact+l.Ticks
		}
		tax := halfEven(new(big.Rat).Mul(big.NewRat(subtotal, 1), big.NewRat(int64(b.TaxBasisPoints), 10_000)))
		switch {
		case exact != b.Spent+b.Owed:
			r.Fatalf("lines of %s, billed %s", exact, b.Spent+b.Owed)
		case inv.Subtotal != subtotal || inv.Tax != tax || inv.Total != subtotal+tax:
			r.Fatalf("sums %d + %d = %d, want %d and %d", inv.Subtotal, inv.Tax, inv.Total, subtotal, tax)
		case inv.Rounding != gatehouse.Ticks(subtotal)*gatehouse.Cent-exact:
			r.Fatalf("rounding %s", inv.Rounding)
		}
	})
}

// After the close the receivable is what the invoice asks for, the credit has
// paid its share in whole cents and no more than there was, and the books
// balance.
func TestTheClosingPostingMakesTheBooksSayWhatTheInvoiceAsks(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := someBooks(r)
		inv, err := billing.Build(b)
		if err != nil {
			r.Fatal(err)
		}
		post := gatehouse.Posting{Entries: billing.Entries(&inv, b)}
		after := map[gatehouse.Account]gatehouse.Ticks{
			gatehouse.AccountCredit: b.Spent, gatehouse.AccountReceivable: b.Owed, gatehouse.AccountMetered: b.Metered,
		}
		for _, e := range post.Entries {
			if e.Amount == 0 {
				r.Fatalf("an empty entry on %s", e.Account)
			}
			after[e.Account] += e.Amount
		}
		whole := func(c int64) gatehouse.Ticks { return gatehouse.Ticks(c) * gatehouse.Cent }
		switch due := billing.Due(&inv); {
		case !post.Balanced():
			r.Fatalf("unbalanced: %+v", post.Entries)
		case after[gatehouse.AccountReceivable] != whole(due) || after[gatehouse.AccountCredit] != whole(inv.Prepaid):
			r.Fatalf("books %v, invoice asks %d and credit paid %d", after, due, inv.Prepaid)
		case after[gatehouse.AccountTax] != -whole(inv.Tax) || after[gatehouse.AccountRounding] != -inv.Rounding:
			r.Fatalf("tax and rounding %v of %+v", after, inv)
		case due < 0 || (due > 0) != (inv.Status == gatehouse.InvoicePending):
			r.Fatalf("due %d, %s", due, inv.Status)
		case whole(inv.Prepaid)-b.Spent > max(0, b.Left):
			r.Fatalf("the credit paid %s more than usage took, with %s left", whole(inv.Prepaid)-b.Spent, b.Left)
		}
	})
}

// Cases that a reader can check in the head.
func TestWhatCreditPays(t *testing.T) {
	charge := func(ticks gatehouse.Ticks) []gatehouse.Charge {
		return []gatehouse.Charge{{Cluster: "c", Model: "m", Price: 1, Units: int64(ticks), Amount: ticks}}
	}
	const c = gatehouse.Cent
	for name, x := range map[string]struct {
		books               billing.Books
		total, tax, prepaid int64
		status              gatehouse.InvoiceStatus
	}{
		"nothing was used":                     {billing.Books{TaxBasisPoints: 1900}, 0, 0, 0, gatehouse.InvoiceNever},
		"credit pays all, tax too":             {billing.Books{Charges: charge(100 * c), Spent: 100 * c, Left: 500 * c, TaxBasisPoints: 1900}, 119, 19, 119, gatehouse.InvoicePaid},
		"credit is too short for the tax":      {billing.Books{Charges: charge(100 * c), Spent: 100 * c, Left: 7*c + 1, TaxBasisPoints: 1900}, 119, 19, 107, gatehouse.InvoicePending},
		"half from credit, tax shared":         {billing.Books{Charges: charge(200 * c), Spent: 100 * c, Owed: 100 * c, Left: 900 * c, TaxBasisPoints: 1000}, 220, 20, 110, gatehouse.InvoicePending},
		"credit that came later is not taken":  {billing.Books{Charges: charge(100 * c), Owed: 100 * c, Left: 900 * c}, 100, 0, 0, gatehouse.InvoicePending},
		"a fraction of a cent stays credit":    {billing.Books{Charges: charge(1410 * c / 100), Spent: 1070 * c / 100, Owed: 340 * c / 100}, 14, 0, 10, gatehouse.InvoicePending},
		"a correction gives money back":        {billing.Books{Charges: charge(-50 * c), Spent: -50 * c, TaxBasisPoints: 1000}, -55, -5, -55, gatehouse.InvoiceNever},
		"half a cent goes to the even one":     {billing.Books{Charges: charge(c / 2), Spent: c / 2, Left: c}, 0, 0, 0, gatehouse.InvoiceNever},
		"one and a half go to the even one":    {billing.Books{Charges: charge(3 * c / 2), Owed: 3 * c / 2}, 2, 0, 0, gatehouse.InvoicePending},
		"what was metered only is not charged": {billing.Books{Charges: charge(80 * c), Owed: 30 * c, Metered: 50 * c}, 30, 0, 0, gatehouse.InvoicePending},
	} {
		inv, err := billing.Build(x.books)
		if err != nil || inv.Total != x.total || inv.Tax != x.tax || inv.Prepaid != x.prepaid || inv.Status != x.status {
			t.Errorf("%s: total %d, tax %d, prepaid %d, %s, %v", name, inv.Total, inv.Tax, inv.Prepaid, inv.Status, err)
		}
	}
}

func TestBooksThatDisagreeMakeNoInvoice(t *testing.T) {
	big := gatehouse.Ticks(math.MaxInt64)
	for name, b := range map[string]billing.Books{
		"a charge that nobody posted": {Charges: []gatehouse.Charge{{Model: "m", Amount: 1}}},
		"a posting without a charge":  {Owed: 1},
		"charges that overflow":       {Charges: []gatehouse.Charge{{Model: "m", Amount: big}, {Model: "m", Amount: 1}}, Spent: -big - 1},
		"postings that overflow":      {Spent: big, Owed: 1},
	} {
		if _, err := billing.Build(b); gatehouse.CodeOf(err) != gatehouse.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Two charges of one kind are one line, and a charge that was taken back whole is none.
func TestChargesOfOneKindAreOneLine(t *testing.T) {
	c := gatehouse.Charge{Cluster: "c", Model: "m", Price: 10, Units: 7, Amount: 70}
	back := gatehouse.Charge{Cluster: "c", Model: "m", Price: 10, Units: -7, Amount: -70}
	other := gatehouse.Charge{Cluster: "c", Model: "m", Price: 11, Units: 7, Amount: 77}
	inv, err := billing.Build(billing.Books{Charges: []gatehouse.Charge{c, other, c, back, back}, Owed: 77})
	if err != nil || len(inv.Lines) != 1 || inv.Lines[0].Price != 11 || inv.Lines[0].Units != 7 {
		t.Errorf("%+v, %v", inv.Lines, err)
	}
}

// The number is part of documents that left the house: it may never change.
func TestAnInvoiceNumberFollowsFromItsID(t *testing.T) {
	id, err := gatehouse.ParseID("6a1f0d8e-2b3c-4d5e-8f90-112233445566")
	if err != nil {
		t.Fatal(err)
	}
	if got := billing.Number(id); got != "294-873-985-080" {
		t.Errorf("number %s", got)
	}
}
