package catalogue

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// A price nobody can trace is worse than none: it becomes an invoice.
func TestEveryPriceHasASourceAndADate(t *testing.T) {
	c, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range c.Models {
		if names[m.Name] {
			t.Errorf("model %s twice", m.Name)
		}
		names[m.Name] = true
		if !strings.HasPrefix(m.Source, "https://") || m.SourceDate == "" {
			t.Errorf("model %s has no source", m.Name)
		}
	}
	for _, p := range c.Prices {
		if !names[p.Model] {
			t.Errorf("price of %s, which is not a model", p.Model)
		}
		if _, err := time.Parse(time.DateOnly, p.SourceDate); err != nil || !strings.HasPrefix(p.Source, "https://") {
			t.Errorf("price of %s has no source", p.Model)
		}
		if len(p.Units) == 0 {
			t.Errorf("price of %s has no units", p.Model)
		}
	}
	for _, a := range c.Aliases {
		if !names[a.Target] || names[a.Name] {
			t.Errorf("alias %s → %s: the target must be a model and the name must not", a.Name, a.Target)
		}
	}
}

// The models that the documents name must be there with a price.
func TestTheDocumentsModelsArePriced(t *testing.T) {
	c, _ := Shipped()
	for _, name := range []string{"grok-4", "grok-4-fast", "grok-4.3", "gpt-4o", "claude-sonnet-4-5"} {
		if !slices.ContainsFunc(c.Prices, func(p *gatehouse.Price) bool { return p.Model == name }) {
			t.Errorf("%s has no price", name)
		}
	}
}

func TestDollarsAreExact(t *testing.T) {
	for in, want := range map[string]gatehouse.Ticks{"1": 1e10, "0.075": 75e7, "0.0000000001": 1, "12.50": 125e9} {
		if got, err := Dollars(in); err != nil || got != want {
			t.Errorf("Dollars(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-1", "1e3", "1.00000000001", ".5", "9999999999"} {
		if got, err := Dollars(in); err == nil {
			t.Errorf("Dollars(%q) = %d, want an error", in, got)
		}
	}
}
