package billing

import (
	"fmt"
	"io"
	"strings"

	"codeberg.org/go-pdf/fpdf"

	"gatehouse"
)

// The sheet: A4 with margins of 18 mm, and how its 174 mm are divided among
// unit type, units, unit price, exact amount and amount.
const (
	margin    = 18.0
	rowHeight = 5.0
)

var columns = []float64{52, 28, 34, 36, 24}

// WritePDF writes an invoice as a document for people. The same invoice gives
// the same bytes. Its text is in the 8-bit Western encoding that PDF readers
// have fonts for; characters beyond it show as dots, and are in the CSV.
func WritePDF(w io.Writer, inv *gatehouse.Invoice) error {
	s := newSheet(inv)
	s.head(inv)
	s.table(inv)
	s.sums(inv)
	return s.Output(w)
}

type sheet struct {
	*fpdf.Fpdf
	encode func(string) string
}

func newSheet(inv *gatehouse.Invoice) *sheet {
	f := fpdf.New("P", "mm", "A4", "")
	f.SetMargins(margin, margin, margin)
	f.SetAutoPageBreak(true, margin)
	f.SetCatalogSort(true)
	f.SetCreationDate(inv.CreateTime.UTC())
	f.SetModificationDate(inv.CreateTime.UTC())
	f.SetTitle("Invoice "+inv.Number, true)
	f.SetProducer("Gatehouse", true)
	s := &sheet{f, f.UnicodeTranslatorFromDescriptor("")}
	f.SetFooterFunc(func() {
		f.SetY(-12)
		f.SetFont("Helvetica", "", 8)
		f.CellFormat(0, rowHeight, fmt.Sprintf("Invoice %s, page %d", inv.Number, f.PageNo()), "", 0, "R", false, 0, "")
	})
	f.AddPage()
	return s
}

// paragraph writes text over the whole width, wrapped.
func (s *sheet) paragraph(style string, size, height float64, text string) {
	s.SetFont("Helvetica", style, size)
	s.MultiCell(0, height, s.encode(text), "", "L", false)
}

func (s *sheet) head(inv *gatehouse.Invoice) {
	s.paragraph("B", 18, 10, "Invoice "+inv.Number)
	s.paragraph("", 10, rowHeight, "Date: "+inv.CreateTime.UTC().Format("2006-01-02"))
	if inv.TopUp.IsZero() {
		s.paragraph("", 10, rowHeight, "Billing cycle: "+inv.Cycle.String()+" (UTC)")
	}
	s.paragraph("", 10, rowHeight, "Team: "+inv.TeamID.String())
	s.Ln(3)
	for _, l := range recipient(inv.Info) {
		s.paragraph("", 10, rowHeight, l)
	}
	s.Ln(4)
}

// recipient is whom the invoice is for, as an address is written.
func recipient(i gatehouse.BillingInfo) (out []string) {
	a := i.Address
	for _, l := range []string{
		i.Name, a.Line1, a.Line2, strings.TrimSpace(a.PostalCode + " " + a.City),
		strings.TrimSpace(a.State + " " + a.Country), i.Email, strings.TrimSpace(i.TaxIDType + " " + i.TaxNumber),
	} {
		if l != "" {
			out = append(out, l)
		}
	}
	return out
}

func (s *sheet) table(inv *gatehouse.Invoice) {
	if !inv.TopUp.IsZero() {
		s.paragraph("", 10, rowHeight, "Prepaid credit")
		return
	}
	s.row("B", "Unit type", "Units", "Unit price USD", "Exact USD", "Amount USD")
	for _, l := range inv.Lines {
		s.paragraph("B", 9, rowHeight, title(l))
		s.row("", UnitType(l), decimal(l.Units), exact(l.Price), exact(l.Ticks), dollars(l.Cents))
	}
}

// title is what a line is for, where, and which closed cycle it corrects.
func title(l gatehouse.InvoiceLine) string {
	t := Describe(l)
	if l.Cluster != "" {
		t += " / " + l.Cluster
	}
	if !l.For.IsZero() {
		t += " / correction of " + l.For.String()
	}
	return t
}

// row writes one row of the table: the first cell to the left, figures to the right.
func (s *sheet) row(style string, cells ...string) {
	s.SetFont("Helvetica", style, 9)
	for i, c := range cells {
		align := "R"
		if i == 0 {
			align = "L"
		}
		s.CellFormat(columns[i], rowHeight, s.encode(c), "", 0, align, false, 0, "")
	}
	s.Ln(rowHeight)
}

func (s *sheet) sums(inv *gatehouse.Invoice) {
	s.Ln(4)
	tax := fmt.Sprintf("Tax %d.%02d %%", inv.TaxBP/100, inv.TaxBP%100)
	for _, f := range []struct {
		name  string
		cents int64
	}{{"Subtotal", inv.Subtotal}, {tax, inv.Tax}, {"Total", inv.Total}, {"Paid from prepaid credit", inv.Prepaid}, {"Due", Due(inv)}} {
		s.SetFont("Helvetica", "B", 10)
		s.CellFormat(150, rowHeight, f.name, "", 0, "R", false, 0, "")
		s.CellFormat(24, rowHeight, dollars(f.cents), "", 0, "R", false, 0, "")
		s.Ln(rowHeight)
	}
}
