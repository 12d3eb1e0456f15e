package gatehouse_test

import (
	"os"
	"strings"
	"testing"

	"gatehouse"
)

// Prices are written by unit name, so a name that is not on the page, or is
// there in another spelling, is a price that cannot be set.
func TestTheMeteringPageListsEveryUnitAndOutcome(t *testing.T) {
	text, err := os.ReadFile("docs/metering.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for u := range gatehouse.NumUnits {
		token := "no"
		if u.IsToken() {
			token = "yes"
		}
		if row := "\n| `" + u.String() + "` | " + token + " |"; !strings.Contains(page, row) {
			t.Errorf("docs/metering.md lacks the row %q", row)
		}
		// The last column is what bills the unit where only that has a price.
		_, rest, _ := strings.Cut(page, "\n| `"+u.String()+"` |")
		line, _, _ := strings.Cut(rest, "\n")
		cells := strings.Split(line, "|")
		if standIn := strings.TrimSpace(cells[len(cells)-2]); standIn != standsIn(u) {
			t.Errorf("%s: the page says that %q stands in, and %q does", u, standIn, standsIn(u))
		}
	}
	for _, o := range []gatehouse.Outcome{gatehouse.Completed, gatehouse.ClientGone, gatehouse.UpstreamLost, gatehouse.Failed, gatehouse.Interrupted} {
		if !strings.Contains(page, "\n| `"+string(o)+"` |") {
			t.Errorf("docs/metering.md lacks the outcome %s", o)
		}
	}
}

// standsIn finds the other unit whose price bills u.
func standsIn(u gatehouse.Unit) string {
	for other := range gatehouse.NumUnits {
		price := gatehouse.Price{Units: map[string]gatehouse.Ticks{other.String(): 1}}
		var used gatehouse.Usage
		used[u] = 1
		if _, _, ok := price.Rate(used, ""); ok && other != u {
			return other.String()
		}
	}
	return ""
}
