package billing

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"gatehouse"
)

// Number is how people call an invoice, in the form of xAI's "742-250-927-721"
// (wire.md §3). It follows from the id: 12 digits, the same at any time.
func Number(id gatehouse.ID) string {
	sum := sha256.Sum256(append([]byte("gatehouse invoice number\x00"), id[:]...))
	n := binary.BigEndian.Uint64(sum[:8]) % 1e12
	return fmt.Sprintf("%03d-%03d-%03d-%03d", n/1e9, n/1e6%1000, n/1e3%1000, n%1000)
}

// notBilled is the line that takes off what was made before billing began.
const notBilled = "Usage that was metered only"

// Describe is what a line is for, in the words of xAI's invoices: "Chat grok-4"
// (wire.md §3, Line). Charges do not keep the endpoint, so the unit says it.
func Describe(l gatehouse.InvoiceLine) string {
	if l.Model == "" {
		return notBilled
	}
	what := "Chat "
	switch l.Unit {
	case gatehouse.Images, gatehouse.PromptImages:
		what = "Image "
	case gatehouse.Seconds, gatehouse.Characters:
		what = "Voice "
	case gatehouse.Searches:
		what = "Search "
	case gatehouse.ServerTools:
		what = "Tools "
	}
	return what + l.Model
}

// UnitType is the line's unit in the words of invoices; empty for the line of
// what was only metered, which is of many.
func UnitType(l gatehouse.InvoiceLine) string {
	if l.Model == "" {
		return ""
	}
	return l.Unit.String()
}

// dollars writes cents as "12.34", or "-0.05".
func dollars(cents int64) string {
	s := (gatehouse.Ticks(cents) * gatehouse.Cent).String()
	return strings.Replace(s, "$", "", 1)
}

// exact writes ticks as dollars without rounding: "0.0000125".
func exact(t gatehouse.Ticks) string { return strings.Replace(t.String(), "$", "", 1) }
