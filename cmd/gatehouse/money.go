package main

import (
	"fmt"
	"regexp"
	"strconv"

	"gatehouse"
)

// money is an amount in dollars, to the cent.
type money struct {
	given bool
	ticks gatehouse.Ticks
}

var dollarsAndCents = regexp.MustCompile(`^(-?)\$?(\d{1,9})(?:\.(\d{1,2}))?$`)

// UnmarshalText reads a flag: 12, 12.5, $12.50. A comma is refused: it is a
// point to some and nothing to others.
func (m *money) UnmarshalText(b []byte) error {
	part := dollarsAndCents.FindStringSubmatch(string(b))
	if part == nil {
		return fmt.Errorf("%q is no amount in dollars such as 12.50", b)
	}
	cents, err := strconv.ParseInt(part[1]+part[2]+(part[3] + "00")[:2], 10, 64)
	m.given, m.ticks = true, gatehouse.Ticks(cents)*gatehouse.Cent
	return err
}

// usd shows money in full: ticks matter where cents do not.
func usd(t gatehouse.Ticks) string { return t.String() }
