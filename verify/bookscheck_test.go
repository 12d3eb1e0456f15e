package verify

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gatehouse"
)

// account is what a team's books say, by every way to ask.
type account struct {
	Trial                map[gatehouse.Account]gatehouse.Ticks
	Rollups, Single, CSV gatehouse.Ticks // usage in ticks: from sums, from single requests, and as a file
	Lines                []line          // of the preview
	Subtotal, Total      int64
	Newest               string // posting
}

// line is one of an invoice, on the wire.
type line struct {
	ClusterName, Description, UnitType string
	UnitPrice, NumUnits, Amount        decimal
}

// decimal is an integer that JSON may have as a string.
type decimal int64

func (d *decimal) UnmarshalJSON(text []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(text), `"`), 10, 64)
	*d = decimal(n)
	return err
}

// compare asks every way for what each team's usage costs, and wants one answer.
func (b *books) compare(when string) map[string]account {
	b.t.Helper()
	b.settled()
	out := map[string]account{}
	for _, p := range b.payers {
		a := b.account(p)
		cost := -a.Trial[gatehouse.AccountRevenue]
		b.t.Logf("%s, %s: %s", when, p.mode, cost)
		var sum gatehouse.Ticks
		for _, amount := range a.Trial {
			sum += amount
		}
		if sum != 0 || cost <= 0 || a.Rollups != cost || a.Single != cost || a.CSV != cost {
			b.t.Errorf("%s, %s: the trial balance sums to %d; the ledger has %d, rollups %d, single requests %d, the CSV %d",
				when, p.mode, sum, cost, a.Rollups, a.Single, a.CSV)
		}
		b.comparePaid(when, p, a, cost)
		b.comparePreview(when, p, a, cost)
		out[p.mode] = a
	}
	return out
}

// comparePaid checks who pays: credit first, then debt; and nobody for what was
// only metered.
func (b *books) comparePaid(when string, p *payer, a account, cost gatehouse.Ticks) {
	b.t.Helper()
	metered := a.Trial[gatehouse.AccountMetered]
	paid := cost - metered
	fromCredit := min(paid, p.credit)
	for account, amount := range map[gatehouse.Account]gatehouse.Ticks{
		gatehouse.AccountGranted: p.credit, gatehouse.AccountCredit: fromCredit - p.credit, gatehouse.AccountReceivable: paid - fromCredit,
	} {
		if a.Trial[account] != amount {
			b.t.Errorf("%s, %s: %s has %d, want %d; %d was to be paid", when, p.mode, account, a.Trial[account], amount, paid)
		}
	}
	if p.mode == metering && paid != 0 || p.mode != metering && p.mode != switching && metered != 0 {
		b.t.Errorf("%s, %s: %d was metered, %d was to be paid", when, p.mode, metered, paid)
	}
}

// comparePreview checks that each line of the preview is rounded once, from
// what adds up to what is to be paid. What was only metered comes off as one
// line, and where there is nothing else there is no line.
func (b *books) comparePreview(when string, p *payer, a account, cost gatehouse.Ticks) {
	b.t.Helper()
	metered := a.Trial[gatehouse.AccountMetered]
	var exact gatehouse.Ticks
	var cents int64
	for _, l := range a.Lines {
		ticks := gatehouse.Ticks(l.UnitPrice * l.NumUnits)
		if l.UnitType == "" {
			ticks = -metered
		}
		if int64(l.Amount) != roundedCents(ticks) {
			b.t.Errorf("%s, %s: the preview's line %+v, want %d cents", when, p.mode, l, roundedCents(ticks))
		}
		exact, cents = exact+ticks, cents+int64(l.Amount)
	}
	if exact != cost-metered || a.Subtotal != cents || a.Total != cents {
		b.t.Errorf("%s, %s: the preview has lines of %d ticks and %d cents, and says %d and %d; to be paid are %d ticks",
			when, p.mode, exact, cents, a.Subtotal, a.Total, cost-metered)
	}
}

// roundedCents rounds half to even, as schools teach it.
func roundedCents(t gatehouse.Ticks) int64 {
	if t < 0 {
		return -roundedCents(-t)
	}
	c, rest := int64(t/gatehouse.Cent), t%gatehouse.Cent
	if rest > gatehouse.Cent/2 || rest == gatehouse.Cent/2 && c%2 == 1 {
		c++
	}
	return c
}

func (b *books) account(p *payer) (a account) {
	b.t.Helper()
	a.Trial = b.trial(p)
	a.Rollups, a.Single, a.CSV = b.usage(p), b.usage(p, "request_ip"), b.csv(p)
	var preview struct {
		CoreInvoice struct {
			Lines                           []line
			AmountBeforeVat, AmountAfterVat decimal
		}
	}
	b.ask("GET", "/v1/billing/teams/"+p.team+"/postpaid/invoice/preview", "", &preview)
	a.Lines, a.Subtotal, a.Total = preview.CoreInvoice.Lines, int64(preview.CoreInvoice.AmountBeforeVat), int64(preview.CoreInvoice.AmountAfterVat)
	var postings struct{ Postings []struct{ ID string } }
	b.ask("GET", "/admin/v1/postings?pageSize=1&teamId="+p.team, "", &postings)
	if len(postings.Postings) > 0 {
		a.Newest = postings.Postings[0].ID
	}
	return a
}

func (b *books) trial(p *payer) map[gatehouse.Account]gatehouse.Ticks {
	b.t.Helper()
	var trial struct {
		Balances []struct {
			Account gatehouse.Account
			Amount  struct{ Ticks decimal }
		}
	}
	b.ask("GET", "/admin/v1/trial-balance?teamId="+p.team, "", &trial)
	out := map[gatehouse.Account]gatehouse.Ticks{}
	for _, e := range trial.Balances {
		out[e.Account] = gatehouse.Ticks(e.Amount.Ticks)
	}
	return out
}

// usage asks for what all of a team's usage cost.
func (b *books) usage(p *payer, groupBy ...string) (sum gatehouse.Ticks) {
	b.t.Helper()
	start, end := lastDay()
	groups, _ := json.Marshal(groupBy)
	var answer struct {
		LimitReached bool
		TimeSeries   []struct{ DataPoints []struct{ Values []float64 } }
	}
	b.ask("POST", "/v1/billing/teams/"+p.team+"/usage", fmt.Sprintf(
		`{"analyticsRequest":{"timeRange":{"startTime":%q,"endTime":%q,"timezone":"Etc/UTC"},"timeUnit":"TIME_UNIT_NONE","values":[{"name":"ticks","aggregation":"AGGREGATION_SUM"}],"groupBy":%s}}`,
		start, end, groups), &answer)
	for _, s := range answer.TimeSeries {
		for _, point := range s.DataPoints {
			sum += gatehouse.Ticks(point.Values[0])
		}
	}
	if answer.LimitReached {
		b.t.Error("the answer about usage was cut")
	}
	return sum
}

// lastDay is a span that holds the test.
func lastDay() (start, end string) {
	now := time.Now().UTC().Truncate(time.Hour)
	return now.Add(-24 * time.Hour).Format(time.DateTime), now.Add(2 * time.Hour).Format(time.DateTime)
}

// csv adds up the ticks of the usage export.
func (b *books) csv(p *payer) (sum gatehouse.Ticks) {
	b.t.Helper()
	start, end := lastDay()
	q := url.Values{"teamId": {p.team}, "startTime": {start}, "endTime": {end}, "timeUnit": {"quarter_hour"},
		"groupBy": {"api_key_id,model,endpoint,cluster_name,unit_type"}, "values": {"num_units,ticks"}}
	rows := b.file("/admin/v1/usage?" + q.Encode())
	for _, row := range rows[1:] {
		n, err := strconv.ParseInt(row[len(row)-1], 10, 64)
		b.must(err)
		sum += gatehouse.Ticks(n)
	}
	return sum
}

// file reads a CSV file; the first row is the header.
func (b *books) file(path string) [][]string {
	b.t.Helper()
	status, text := b.manage("GET", path, "")
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if status != 200 || err != nil || len(rows) == 0 {
		b.t.Fatalf("GET %s: %d %s (%v)", path, status, text, err)
	}
	return rows
}

// released waits until gateways hold no money of the teams: they are idle, and
// what the dead ones held has ended with their journals.
func (b *books) released() {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		var answer struct {
			Holds []struct {
				Fund string
				Open struct{ Ticks decimal }
			}
		}
		b.ask("GET", "/admin/v1/holds", "", &answer)
		var open decimal
		for _, h := range answer.Holds {
			open += h.Open.Ticks
		}
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			b.t.Errorf("idle gateways hold %+v", answer.Holds)
			return
		}
	}
}

// budgets is what was spent of each budget, as the API says.
func (b *books) budgets() map[string]gatehouse.Ticks {
	b.t.Helper()
	out := map[string]gatehouse.Ticks{}
	for _, p := range b.payers {
		var answer struct {
			States []struct {
				BudgetID   string
				SpentTicks decimal
			}
		}
		b.ask("GET", "/admin/v1/budget-states?teamId="+p.team, "", &answer)
		for _, s := range answer.States {
			out[s.BudgetID] += gatehouse.Ticks(s.SpentTicks)
		}
	}
	return out
}

// invoices reads the invoices of the closed month: their files have the lines
// of the last preview, and come to the ledger to the tick.
func (b *books) invoices(final map[string]account) {
	b.t.Helper()
	for _, p := range b.payers {
		var list struct{ Invoices []struct{ InvoiceID string } }
		b.ask("GET", "/v1/billing/teams/"+p.team+"/invoices", "", &list)
		if p.mode == metering {
			if len(list.Invoices) != 0 {
				b.t.Errorf("a team that is only metered has invoices: %+v", list)
			}
			continue
		}
		if len(list.Invoices) != 1 {
			b.t.Fatalf("%s has invoices %+v", p.mode, list)
		}
		rows := b.file("/admin/v1/invoices/" + list.Invoices[0].InvoiceID + "/csv")
		b.compareInvoice(p, rows, final[p.mode])
		var sum gatehouse.Ticks
		for _, amount := range b.trial(p) {
			sum += amount
		}
		if sum != 0 {
			b.t.Errorf("%s: after the close the books are off by %d", p.mode, sum)
		}
	}
}

func (b *books) compareInvoice(p *payer, rows [][]string, a account) {
	b.t.Helper()
	at := map[string]int{}
	for i, name := range rows[0] {
		at[name] = i
	}
	var sum gatehouse.Ticks
	var lines []line
	figures := map[string]int64{}
	for _, row := range rows[1:] {
		number := func(name string) decimal {
			n, err := strconv.ParseInt(row[at[name]], 10, 64)
			b.must(err)
			return decimal(n)
		}
		if row[at["row"]] != "line" {
			figures[row[at["row"]]] = int64(number("amount_ticks"))
			continue
		}
		sum += gatehouse.Ticks(number("amount_ticks"))
		lines = append(lines, line{row[at["cluster"]], row[at["description"]], row[at["unit_type"]], number("unit_price_ticks"), number("units"), number("amount_cents")})
	}
	cost := -a.Trial[gatehouse.AccountRevenue] - a.Trial[gatehouse.AccountMetered]
	if fmt.Sprint(lines) != fmt.Sprint(a.Lines) {
		b.t.Errorf("%s: the invoice's lines are\n%v\nthe preview's were\n%v", p.mode, lines, a.Lines)
	}
	if sum != cost || figures["subtotal"] != a.Subtotal*int64(gatehouse.Cent) || figures["subtotal"] != int64(sum)+figures["rounding"] ||
		figures["total"] != figures["prepaid"]+figures["due"] {
		b.t.Errorf("%s: the invoice comes to %d ticks, the ledger to %d; its figures are %v", p.mode, sum, cost, figures)
	}
}
