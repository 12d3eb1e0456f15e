package billing

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"gatehouse"
)

// csvHeader is the first row. Figures named ticks are exact, in 1e-10 USD;
// figures named cents are what is asked for.
var csvHeader = []string{"invoice_number", "cycle", "row", "cluster", "model", "description", "unit_type",
	"unit_price_ticks", "units", "amount_ticks", "amount_usd", "amount_cents", "corrects"}

// WriteCSV writes an invoice: a row of kind "line" for each line, then one each
// of the kinds subtotal, rounding, tax, total, prepaid and due. Text that a
// spreadsheet would take for a formula is quoted.
func WriteCSV(w io.Writer, inv *gatehouse.Invoice) error {
	out := csv.NewWriter(w)
	out.Write(csvHeader) // the writer keeps its first error
	for _, l := range inv.Lines {
		out.Write(csvLine(inv, l))
	}
	for _, s := range summary(inv) {
		out.Write(append([]string{inv.Number, cycle(inv.Cycle), s.kind, "", "", "", "", "", "", decimal(int64(s.ticks)), exact(s.ticks), s.cents()}, ""))
	}
	out.Flush()
	return out.Error()
}

func csvLine(inv *gatehouse.Invoice, l gatehouse.InvoiceLine) []string {
	return []string{
		inv.Number, cycle(inv.Cycle), "line", Cell(l.Cluster), Cell(l.Model), Cell(Describe(l)), UnitType(l),
		decimal(int64(l.Price)), decimal(l.Units), decimal(int64(l.Ticks)), exact(l.Ticks), decimal(l.Cents), cycle(l.For),
	}
}

// figure is a sum of an invoice.
type figure struct {
	kind  string
	ticks gatehouse.Ticks
}

// cents is empty for rounding, which is less than a cent a line.
func (f figure) cents() string {
	if f.kind == "rounding" {
		return ""
	}
	return decimal(int64(f.ticks / gatehouse.Cent))
}

// summary is an invoice's sums: the lines' ticks and the rounding are the
// subtotal, that and tax the total, that without the prepaid what is due.
func summary(inv *gatehouse.Invoice) []figure {
	whole := func(cents int64) gatehouse.Ticks { return gatehouse.Ticks(cents) * gatehouse.Cent }
	return []figure{
		{"rounding", inv.Rounding}, {"subtotal", whole(inv.Subtotal)}, {"tax", whole(inv.Tax)},
		{"total", whole(inv.Total)}, {"prepaid", whole(inv.Prepaid)}, {"due", whole(Due(inv))},
	}
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// cycle is empty for none: a paid top-up has no cycle.
func cycle(c gatehouse.Cycle) string {
	if c.IsZero() {
		return ""
	}
	return c.String()
}

// Cell disarms what spreadsheets run when they open a file: names are whatever
// somebody called something.
func Cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n|%", rune(s[0])) {
		return "'" + s
	}
	return s
}
