package gatehouse

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Ticks is an amount of money: 1e-10 USD, xAI's own unit (a token price of
// "20000" is $2 per million tokens). int64 holds ±$922 million. Ticks are
// never rounded; only an invoice line is, once.
type Ticks int64

// USD and Cent in ticks.
const (
	USD  Ticks = 1e10
	Cent Ticks = 1e8
)

// Mul multiplies a unit price by a count, both ≥ 0. ok is false on overflow,
// which callers must treat as an error and never as a price.
func (t Ticks) Mul(n int64) (product Ticks, ok bool) {
	if t < 0 || n < 0 {
		return 0, false
	}
	hi, lo := bits.Mul64(uint64(t), uint64(n))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, false
	}
	return Ticks(lo), true
}

// Add adds two amounts; ok is false on overflow.
func (t Ticks) Add(u Ticks) (sum Ticks, ok bool) {
	s := t + u
	return s, (u >= 0) == (s >= t)
}

// Float is the amount in dollars, for analytics alone.
func (t Ticks) Float() float64 { return float64(t) / float64(USD) }

// String is exact: "$1.2345", no trailing zeros, at least two decimals.
func (t Ticks) String() string {
	sign, u := "", uint64(t)
	if t < 0 {
		sign, u = "-", -u
	}
	frac := strings.TrimRight(fmt.Sprintf("%010d", u%uint64(USD)), "0")
	for len(frac) < 2 {
		frac += "0"
	}
	return fmt.Sprintf("%s$%d.%s", sign, u/uint64(USD), frac)
}
