package api

import (
	"math"

	"gatehouse"
	"gatehouse/gen/charger"
	"gatehouse/internal/billing"
)

// What both faces that know money share: xAI's cents and its shapes of people
// who pay.

// Cent is an amount on xAI's wire, rounded half to even.
func Cent(t gatehouse.Ticks) *charger.Cent { return &charger.Cent{Val: billing.Cents(t)} }

// CentOpt is Cent, nil for none.
func CentOpt(t *gatehouse.Ticks) *charger.Cent {
	if t == nil {
		return nil
	}
	return Cent(*t)
}

// maxCents is what ticks can hold: $922 million.
const maxCents = math.MaxInt64 / int64(gatehouse.Cent)

// FromCents reads an amount in cents that has a field of its own to blame.
func FromCents(field string, cents int64, bad *gatehouse.Violations) gatehouse.Ticks {
	if cents > maxCents || cents < -maxCents {
		bad.Addf(field, "must be at most %d cents", maxCents)
		return 0
	}
	return gatehouse.Ticks(cents) * gatehouse.Cent
}

// BillingInfo is whom invoices are for, on the wire.
func BillingInfo(i gatehouse.BillingInfo) *charger.BillingInfo {
	a := i.Address
	return &charger.BillingInfo{
		Name: i.Name, Email: i.Email, TaxIdType: i.TaxIDType, TaxNumber: i.TaxNumber,
		Address: &charger.Address{Line1: a.Line1, Line2: a.Line2, City: a.City, Country: a.Country, PostalCode: a.PostalCode, State: a.State},
	}
}

// BillingInfoOf inverts BillingInfo.
func BillingInfoOf(in *charger.BillingInfo) gatehouse.BillingInfo {
	a := in.GetAddress()
	return gatehouse.BillingInfo{
		Name: in.GetName(), Email: in.GetEmail(), TaxIDType: in.GetTaxIdType(), TaxNumber: in.GetTaxNumber(),
		Address: gatehouse.Address{
			Line1: a.GetLine1(), Line2: a.GetLine2(), City: a.GetCity(), Country: a.GetCountry(), PostalCode: a.GetPostalCode(), State: a.GetState(),
		},
	}
}

// PaymentMethod is how a team pays, on the wire: details of its type alone.
func PaymentMethod(m gatehouse.PaymentMethod) *charger.PaymentMethod {
	out := &charger.PaymentMethod{
		PaymentMethodId: m.ID, BillingInfo: BillingInfo(m.Info), PaymentType: m.Type, AddedTs: Stamp(m.Added),
	}
	switch m.Type {
	case "card":
		out.CardDetails = &charger.CardDetails{Brand: m.Brand, Last4: m.Last4, ExpMonth: int64(m.ExpMonth), ExpYear: int64(m.ExpYear)}
	case "us_bank_account":
		out.UsBankAccountDetails = &charger.UsBankAccountDetails{BankName: m.BankName, Last4: m.Last4, RoutingNumber: m.Routing}
	case "link":
		out.LinkDetails = &charger.LinkDetails{Email: m.Email}
	}
	return out
}

// PaymentMethodOf inverts PaymentMethod.
func PaymentMethodOf(in *charger.PaymentMethod) gatehouse.PaymentMethod {
	card, bank := in.GetCardDetails(), in.GetUsBankAccountDetails()
	return gatehouse.PaymentMethod{
		ID: in.GetPaymentMethodId(), Type: in.GetPaymentType(), Info: BillingInfoOf(in.GetBillingInfo()), Added: Time(in.GetAddedTs()),
		Brand: card.GetBrand(), Last4: card.GetLast4() + bank.GetLast4(), ExpMonth: int(card.GetExpMonth()), ExpYear: int(card.GetExpYear()),
		BankName: bank.GetBankName(), Routing: bank.GetRoutingNumber(), Email: in.GetLinkDetails().GetEmail(),
	}
}
