package billing_test

import (
	"testing"

	"gatehouse/internal/billing"
)

func TestNoCellIsAFormula(t *testing.T) {
	for in, want := range map[string]string{"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\t=1": "'\t=1", "ci": "ci", "": ""} {
		if got := billing.Cell(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
