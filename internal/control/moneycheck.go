package control

import (
	"net/mail"
	"regexp"
	"strings"

	"golang.org/x/text/language"

	"gatehouse"
)

// The bounds of what is said about a team's bills.
const (
	maxBillingText = 200 // characters of a line of an address, of a note
	maxShortText   = 100 // of a city, a state, a tax number
	maxMethods     = 20
	maxExternal    = 255 // bytes of a processor's name for something
	maxTaxBP       = 10_000
	// maxCredit bounds what a team may have paid ahead, and what it may be allowed
	// to owe: far from where 64 bits of ticks end.
	maxCredit = gatehouse.MaxBudgetAmount
)

// taxIDType is a country and a kind of number, as payment processors spell them:
// us_ein, eu_vat, au_abn.
var taxIDType = regexp.MustCompile(`^[a-z]{2}_[a-z0-9_]{2,20}$`)

// checkInfo puts billing information into the form that is stored. Every field
// may be empty.
func checkInfo(field string, i gatehouse.BillingInfo, bad *gatehouse.Violations) gatehouse.BillingInfo {
	line := func(member, s string, most int) string {
		s = strings.TrimSpace(s)
		if len([]rune(s)) > most || strings.ContainsFunc(s, isControl) || !validUTF8(s) {
			bad.Addf(field+"."+member, "must be at most %d characters, none of them a control character", most)
		}
		return s
	}
	a := i.Address
	out := gatehouse.BillingInfo{
		Name: line("name", i.Name, maxBillingText),
		Address: gatehouse.Address{
			Line1: line("address.line1", a.Line1, maxBillingText), Line2: line("address.line2", a.Line2, maxBillingText),
			City: line("address.city", a.City, maxShortText), Country: strings.ToUpper(strings.TrimSpace(a.Country)),
			PostalCode: line("address.postalCode", a.PostalCode, maxShortText), State: line("address.state", a.State, maxShortText),
		},
		Email: strings.TrimSpace(i.Email), TaxIDType: strings.TrimSpace(i.TaxIDType), TaxNumber: line("taxNumber", i.TaxNumber, maxShortText),
	}
	if !isCountry(out.Address.Country) {
		bad.Addf(field+".address.country", "must be a country's two letters (ISO 3166-1), such as US")
	}
	if m, err := mail.ParseAddress(out.Email); out.Email != "" && (err != nil || m.Address != out.Email || len(out.Email) > maxEmail) {
		bad.Addf(field+".email", "is not an e-mail address")
	}
	if out.TaxIDType != "" && !taxIDType.MatchString(out.TaxIDType) {
		bad.Addf(field+".taxIdType", "must be a country's two letters and a kind of number, such as us_ein or eu_vat")
	}
	if (out.TaxIDType == "") != (out.TaxNumber == "") {
		bad.Addf(field+".taxNumber", "goes together with taxIdType")
	}
	return out
}

// isCountry knows the countries that have two letters; none is fine.
func isCountry(s string) bool {
	if s == "" {
		return true
	}
	r, err := language.ParseRegion(s)
	return err == nil && len(s) == 2 && r.IsCountry() && r.String() == s
}

func isControl(r rune) bool {
	return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

func validUTF8(s string) bool { return strings.ToValidUTF8(s, "") == s }

// checkCents refuses parts of a cent.
func checkCents(field string, t gatehouse.Ticks, bad *gatehouse.Violations) {
	if t%gatehouse.Cent != 0 {
		bad.Addf(field, "must be whole cents")
	}
}

// checkText bounds what somebody says in their own words.
func checkText(field, s string, most int, bad *gatehouse.Violations) string {
	s = strings.TrimSpace(s)
	if len([]rune(s)) > most || strings.ContainsFunc(s, isControl) || !validUTF8(s) {
		bad.Addf(field, "must be at most %d characters, none of them a control character", most)
	}
	return s
}

// checkAccount names what is wrong with what an operator sets.
func checkAccount(a *gatehouse.BillingAccount, bad *gatehouse.Violations) {
	if hard := a.HardOverride; hard != nil {
		checkCents("hardOverride", *hard, bad)
		if *hard < 0 || *hard > maxCredit {
			bad.Addf("hardLimitCents", "must be from $0.00 to %s", maxCredit)
		}
	}
	if a.TaxBasisPoints < 0 || a.TaxBasisPoints > maxTaxBP {
		bad.Addf("taxBasisPoints", "must be from 0 to %d: 1900 is 19 %%", maxTaxBP)
	}
	if len(a.Methods) > maxMethods {
		bad.Addf("methods", "at most %d", maxMethods)
	}
	seen := map[string]bool{"": true}
	for i := range a.Methods {
		m := &a.Methods[i]
		if seen[m.ID] {
			bad.Addf("methods", "every one needs a paymentMethodId of its own")
		}
		seen[m.ID] = true
		checkMethod(m, bad)
	}
}

// methodTypes are the kinds of payment method that the wire has (wire.md §3),
// and payment by hand.
var methodTypes = map[string]bool{"card": true, "us_bank_account": true, "link": true, "cashapp": true, "manual": true}

var last4 = regexp.MustCompile(`^([0-9]{4})?$`)

func checkMethod(m *gatehouse.PaymentMethod, bad *gatehouse.Violations) {
	const field = "paymentMethods"
	for _, s := range []string{m.ID, m.Brand, m.BankName, m.Routing, m.Email} {
		checkText(field, s, maxExternal, bad)
	}
	if !methodTypes[m.Type] {
		bad.Addf(field+".paymentType", "must be card, us_bank_account, link, cashapp or manual")
	}
	if !last4.MatchString(m.Last4) {
		bad.Addf(field+".last4", "must be four digits; nothing more of a number is kept here")
	}
	if m.ExpMonth < 0 || m.ExpMonth > 12 || m.ExpYear < 0 || m.ExpYear > 9999 {
		bad.Addf(field, "expMonth and expYear must be a month")
	}
	m.Info = checkInfo(field+".billingInfo", m.Info, bad)
	m.Added = utc(m.Added)
}
