package sqlstore

import (
	"strings"

	"gatehouse"
	"gatehouse/internal/store"
)

// BillingAccount implements [store.BillingView].
func (v *view) BillingAccount(team gatehouse.ID) (*gatehouse.BillingAccount, error) {
	return find(v, &billingTable, team.String())
}

// TopUp implements [store.BillingView].
func (v *view) TopUp(id gatehouse.ID) (*gatehouse.TopUp, error) {
	return find(v, &topUpTable, id.String())
}

// TopUps implements [store.BillingView].
func (v *view) TopUps(team gatehouse.ID, after store.Cursor, limit int) ([]*gatehouse.TopUp, error) {
	return byTime(v, &topUpTable, team, after, limit)
}

// PendingTopUp implements [store.BillingView].
func (v *view) PendingTopUp(team gatehouse.ID) (*gatehouse.TopUp, error) {
	return first(v, &topUpTable, `WHERE deleted_us = 0 AND team_id = ? AND name = ? ORDER BY created_us, id`, team.String(), string(gatehouse.TopUpPending))
}

// first is the first record of a list that verifies.
func first[T any](v *view, a *authority[T], rest string, args ...any) (*T, error) {
	all, err := list(v, a, rest, args, 1)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, absent(a.kind)
	}
	return all[0], nil
}

// Invoice implements [store.BillingView].
func (v *view) Invoice(id gatehouse.ID) (*gatehouse.Invoice, error) {
	return find(v, &invoiceTable, id.String())
}

// Invoices implements [store.BillingView].
func (v *view) Invoices(team gatehouse.ID) ([]*gatehouse.Invoice, error) {
	return list(v, &invoiceTable, `WHERE deleted_us = 0 AND team_id = ? ORDER BY created_us DESC, id DESC`, []any{team.String()}, -1)
}

// InvoiceOf implements [store.BillingView].
func (v *view) InvoiceOf(team gatehouse.ID, cycle gatehouse.Cycle) (*gatehouse.Invoice, error) {
	if cycle.IsZero() {
		return nil, absent(gatehouse.KindInvoice)
	}
	return first(v, &invoiceTable, `WHERE deleted_us = 0 AND team_id = ? AND name = ? ORDER BY created_us, id`, team.String(), cycleName(cycle))
}

// AlertHook implements [store.BillingView].
func (v *view) AlertHook(id gatehouse.ID) (*gatehouse.AlertHook, error) {
	return find(v, &alertHookTable, id.String())
}

// AlertHooks implements [store.BillingView].
func (v *view) AlertHooks(team gatehouse.ID) ([]*gatehouse.AlertHook, error) {
	return byTime(v, &alertHookTable, team, store.Cursor{}, -1)
}

// Invitation implements [store.PeopleView].
func (v *view) Invitation(id gatehouse.ID) (*gatehouse.Invitation, error) {
	return find(v, &invitationTable, id.String())
}

// Invitations implements [store.PeopleView].
func (v *view) Invitations(team gatehouse.ID, after store.Cursor, limit int) ([]*gatehouse.Invitation, error) {
	return byTime(v, &invitationTable, team, after, limit)
}

// UserBySubject implements [store.PeopleView].
func (v *view) UserBySubject(subject string) (*gatehouse.User, error) {
	if subject == "" {
		return nil, absent(gatehouse.KindUser)
	}
	return first(v, &userTable, `WHERE deleted_us = 0 AND name = ? AND name <> '' ORDER BY created_us, id`, subject)
}

// UserByEmail implements [store.PeopleView]. A team has few enough people to
// look at each.
func (v *view) UserByEmail(team gatehouse.ID, email string) (*gatehouse.User, error) {
	all, err := byTime(v, &userTable, team, store.Cursor{}, -1)
	if err != nil {
		return nil, err
	}
	for _, u := range all {
		if email != "" && strings.EqualFold(u.Email, email) {
			return u, nil
		}
	}
	return nil, absent(gatehouse.KindUser)
}

// PutBillingAccount implements [store.BillingTx].
func (t *tx) PutBillingAccount(x *gatehouse.BillingAccount, act gatehouse.Act) error {
	return put(t, &billingTable, x, act)
}

// PutTopUp implements [store.BillingTx].
func (t *tx) PutTopUp(x *gatehouse.TopUp, act gatehouse.Act) error {
	return put(t, &topUpTable, x, act)
}

// PutInvoice implements [store.BillingTx].
func (t *tx) PutInvoice(x *gatehouse.Invoice, act gatehouse.Act) error {
	if !x.Cycle.IsZero() {
		if err := t.lockBooks(x.TeamID); err != nil {
			return err
		}
	}
	return put(t, &invoiceTable, x, act)
}

// PutInvitation implements [store.BillingTx].
func (t *tx) PutInvitation(x *gatehouse.Invitation, act gatehouse.Act) error {
	return put(t, &invitationTable, x, act)
}

// PutAlertHook implements [store.BillingTx].
func (t *tx) PutAlertHook(x *gatehouse.AlertHook, act gatehouse.Act) error {
	return put(t, &alertHookTable, x, act)
}
