// Package catalogue ships what is publicly known of providers' models: names,
// aliases and list prices, each with the page it was read from and the day.
// It is data, kept in catalogue.json for reviewers. A model whose price was not
// found with a source is there without one and is refused until an operator
// sets a price; nothing is guessed.
package catalogue

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse"
)

//go:embed catalogue.json
var shipped []byte

// Catalogue is a set of records to declare.
type Catalogue struct {
	Models  []*gatehouse.Model
	Aliases []*gatehouse.Alias
	Prices  []*gatehouse.Price
}

// file is the shape of catalogue.json. Prices are decimal dollars, since that
// is how providers print them: per million of a unit, or each.
type file struct {
	Models  []*gatehouse.Model `json:"models"`
	Aliases []*gatehouse.Alias `json:"aliases"`
	Prices  []struct {
		Model          string            `json:"model"`
		Effective      time.Time         `json:"effective"`
		PerMillion     map[string]string `json:"perMillion"`
		Each           map[string]string `json:"each"`
		LongPerMillion map[string]string `json:"longPerMillion"`
		LongThreshold  int64             `json:"longContextThreshold"`
		Source         string            `json:"source"`
		SourceDate     string            `json:"sourceDate"`
	} `json:"prices"`
}

// Shipped returns the catalogue that is part of the program.
func Shipped() (Catalogue, error) {
	dec := json.NewDecoder(bytes.NewReader(shipped))
	dec.DisallowUnknownFields()
	var f file
	if err := dec.Decode(&f); err != nil {
		return Catalogue{}, fmt.Errorf("catalogue: %w", err)
	}
	c := Catalogue{Models: f.Models, Aliases: f.Aliases}
	for _, p := range f.Prices {
		price, err := PriceFrom(p.Model, p.Effective, p.PerMillion, p.Each, p.LongPerMillion, p.LongThreshold, p.Source)
		if err != nil {
			return Catalogue{}, fmt.Errorf("catalogue: price of %s: %w", p.Model, err)
		}
		price.SourceDate = p.SourceDate
		c.Prices = append(c.Prices, price)
	}
	return c, nil
}

// Names lists the models.
func (c Catalogue) Names() []string {
	out := make([]string, len(c.Models))
	for i, m := range c.Models {
		out[i] = m.Name
	}
	return out
}

// PriceFrom makes a price from decimal dollars as providers print them, by unit
// name: per million, each, and per million above the long-context threshold.
func PriceFrom(model string, effective time.Time, perMillion, each, long map[string]string, threshold int64, source string) (*gatehouse.Price, error) {
	p := &gatehouse.Price{Model: model, Effective: effective, LongThreshold: threshold, Units: map[string]gatehouse.Ticks{}, Source: source}
	if model == "" {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "model: is required")
	}
	if err := fill(p.Units, perMillion, 1_000_000); err != nil {
		return nil, err
	}
	if err := fill(p.Units, each, 1); err != nil {
		return nil, err
	}
	if len(long) > 0 {
		p.LongContext = map[string]gatehouse.Ticks{}
		return p, fill(p.LongContext, long, 1_000_000)
	}
	return p, nil
}

// fill converts dollars per `per` units into ticks per unit.
func fill(into map[string]gatehouse.Ticks, dollars map[string]string, per int64) error {
	for unit, s := range dollars {
		if _, ok := gatehouse.ParseUnit(unit); !ok {
			return fmt.Errorf("unknown unit %q", unit)
		}
		t, err := Dollars(s)
		if err != nil {
			return err
		}
		if int64(t)%per != 0 {
			return fmt.Errorf("%s per %d is not a whole number of ticks", s, per)
		}
		into[unit] = t / gatehouse.Ticks(per)
	}
	return nil
}

// Dollars reads a decimal amount exactly: digits with at most ten decimals,
// no sign, no exponent.
func Dollars(s string) (gatehouse.Ticks, error) {
	whole, frac, _ := strings.Cut(s, ".")
	if len(frac) > 10 || whole == "" || strings.Trim(whole+frac, "0123456789") != "" {
		return 0, gatehouse.Errorf(gatehouse.InvalidArgument, "%q is not an amount in dollars with at most ten decimals", s)
	}
	n, err := strconv.ParseInt(whole+frac+strings.Repeat("0", 10-len(frac)), 10, 64)
	if err != nil {
		return 0, gatehouse.Errorf(gatehouse.InvalidArgument, "%q is too large an amount", s)
	}
	return gatehouse.Ticks(n), nil
}
