package billing_test

import (
	"bytes"
	"encoding/csv"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ledongthuc/pdf"

	"gatehouse"
	"gatehouse/internal/billing"
)

var update = flag.Bool("update", false, "write the golden files")

// sample is an invoice with everything: lines that round each way, one that
// nobody charges for, a correction, tax, credit, hostile names.
func sample(t *testing.T) *gatehouse.Invoice {
	t.Helper()
	line := func(model string, unit gatehouse.Unit, price gatehouse.Ticks, units int64) gatehouse.Charge {
		return gatehouse.Charge{Cluster: "us-east-1", Model: model, Unit: unit, Price: price, Units: units, Amount: price * gatehouse.Ticks(units)}
	}
	late := line("grok-4", gatehouse.Reasoning, 150_000, -1_234)
	late.For = june
	charges := []gatehouse.Charge{
		line("grok-4", gatehouse.PromptText, 30_000, 1_234_567), line("grok-4", gatehouse.CompletionText, 150_000, 98_765),
		line("grok-4", gatehouse.PromptText, 20_000, 5_000), line("grok-2-image", gatehouse.Images, 700_000_000, 3),
		line("free", gatehouse.PromptText, 0, 77), line("=HYPERLINK(\"http://evil\",\"x\")", gatehouse.Searches, 250_000_000, 2), late,
	}
	var sum gatehouse.Ticks
	for _, c := range charges {
		sum += c.Amount
	}
	inv, err := billing.Build(billing.Books{Charges: charges, Spent: 2 * gatehouse.USD, Owed: sum - 3*gatehouse.USD, Metered: gatehouse.USD, TaxBasisPoints: 1925})
	if err != nil {
		t.Fatal(err)
	}
	inv.ID[0], inv.TeamID[0], inv.Cycle = 1, 2, july
	inv.Number = billing.Number(inv.ID)
	inv.CreateTime = time.Date(2026, 8, 2, 0, 0, 0, 0, time.UTC)
	inv.Info = gatehouse.BillingInfo{Name: "Müller & Söhne (GmbH)", Email: "bills@example.com", Address: gatehouse.Address{Line1: "Straße 1", City: "Köln", Country: "DE", PostalCode: "50667"}, TaxIDType: "eu_vat", TaxNumber: "DE123456789"}
	return &inv
}

func TestTheCSVIsWhatItWas(t *testing.T) {
	var got bytes.Buffer
	if err := billing.WriteCSV(&got, sample(t)); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/invoice.csv"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the CSV changed:\n%s", got.String())
	}
}

// The CSV alone is enough to check an invoice: its lines come to its sums, to
// the tick.
func TestTheCSVAddsUp(t *testing.T) {
	var file bytes.Buffer
	inv := sample(t)
	if err := billing.WriteCSV(&file, inv); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	ticks, cents := map[string]int64{}, map[string]int64{}
	for _, r := range rows[1:] {
		n, err := strconv.ParseInt(r[9], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := strconv.ParseInt(r[11], 10, 64)
		ticks[r[2]], cents[r[2]] = ticks[r[2]]+n, cents[r[2]]+c
	}
	switch {
	case ticks["line"]+ticks["rounding"] != ticks["subtotal"], ticks["subtotal"]+ticks["tax"] != ticks["total"],
		ticks["total"]-ticks["prepaid"] != ticks["due"], cents["line"] != inv.Subtotal, cents["due"] != billing.Due(inv):
		t.Errorf("ticks %v, cents %v", ticks, cents)
	}
}

func TestNoCellOfTheCSVIsAFormula(t *testing.T) {
	for _, name := range []string{"=1+1", "+1", "-1", "@x", "\tx", "\r=1", "%0A=1", "|calc"} {
		charge := gatehouse.Charge{Cluster: name, Model: name, Price: 1, Units: 1, Amount: 1}
		inv, err := billing.Build(billing.Books{Charges: []gatehouse.Charge{charge}, Owed: 1})
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := billing.WriteCSV(&file, &inv); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&file).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for i, cell := range rows[1] {
			if _, err := strconv.ParseFloat(cell, 64); err != nil && strings.ContainsAny(cell[:min(1, len(cell))], "=+-@\t\r|%") {
				t.Errorf("column %s of %q holds %q", rows[0][i], name, cell)
			}
		}
	}
}

// pdfText is the document's text, in the order in which it was written.
func pdfText(t *testing.T, inv *gatehouse.Invoice) string {
	t.Helper()
	var file bytes.Buffer
	if err := billing.WritePDF(&file, inv); err != nil {
		t.Fatal(err)
	}
	r, err := pdf.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for i := range r.NumPage() {
		text, err := r.Page(i + 1).GetPlainText(nil)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(text)
	}
	return strings.Join(strings.Fields(all.String()), " ")
}

// after finds the parts in order, and returns what follows the last.
func after(t *testing.T, text string, parts ...string) string {
	t.Helper()
	for _, p := range parts {
		_, rest, ok := strings.Cut(text, p)
		if !ok {
			t.Fatalf("the document lacks %q after what came before it; what follows: %.300s", p, text)
		}
		text = rest
	}
	return text
}

// Who reads the document reads what the books say: every line and every sum.
func TestThePDFSaysWhatTheInvoiceSays(t *testing.T) {
	inv := sample(t)
	text := after(t, pdfText(t, inv), "Invoice "+inv.Number, "2026-07", "Müller & Söhne (GmbH)", "50667 Köln", "eu_vat DE123456789")
	for _, l := range inv.Lines {
		text = after(t, text, billing.Describe(l), billing.UnitType(l), strconv.FormatInt(l.Units, 10), plain(l.Price), plain(l.Ticks), plain(gatehouse.Ticks(l.Cents)*gatehouse.Cent))
	}
	cents := func(n int64) string { return plain(gatehouse.Ticks(n) * gatehouse.Cent) }
	after(t, text, "Subtotal", cents(inv.Subtotal), "Tax 19.25 %", cents(inv.Tax), "Total", cents(inv.Total),
		"Paid from prepaid credit", cents(inv.Prepaid), "Due", cents(billing.Due(inv)))
}

func plain(t gatehouse.Ticks) string { return strings.ReplaceAll(t.String(), "$", "") }

func TestAnInvoiceOfManyLinesHasManyPages(t *testing.T) {
	inv := &gatehouse.Invoice{Number: "1"}
	for i := range 200 {
		inv.Lines = append(inv.Lines, gatehouse.InvoiceLine{Model: strings.Repeat("m", 250) + strconv.Itoa(i), Units: int64(i)})
	}
	text := pdfText(t, inv)
	after(t, text, "page 2", "page 9")
	for i := range 200 {
		if !strings.Contains(strings.ReplaceAll(text, " ", ""), "m"+strconv.Itoa(i)) {
			t.Fatalf("line %d is not there", i)
		}
	}
}

func TestAPaidTopUpHasADocument(t *testing.T) {
	inv := billing.Purchase(500 * gatehouse.Cent)
	inv.ID[0], inv.TopUp[0], inv.Number = 1, 1, "1-2"
	after(t, pdfText(t, &inv), "Invoice 1-2", "Prepaid credit", "Total", "5.00", "Due", "0.00")
}

func TestTheSameInvoiceIsTheSameDocument(t *testing.T) {
	var a, b bytes.Buffer
	inv := sample(t)
	if err := billing.WritePDF(&a, inv); err != nil {
		t.Fatal(err)
	}
	if err := billing.WritePDF(&b, inv); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two writings differ")
	}
}
