package sqlstore

import (
	"gatehouse"
)

var billingTable = authority[gatehouse.BillingAccount]{
	table: "billing_accounts", kind: gatehouse.KindBilling,
	facts: func(a *gatehouse.BillingAccount) facts {
		return facts{id: a.ID.String(), team: a.ID.String(), created: a.CreateTime, deleted: a.DeleteTime}
	},
	revision: func(a *gatehouse.BillingAccount) *gatehouse.Revision { return &a.Revision },
	bare:     plain[gatehouse.BillingAccount],
}

var topUpTable = authority[gatehouse.TopUp]{
	table: "top_ups", kind: gatehouse.KindTopUp,
	facts: func(t *gatehouse.TopUp) facts {
		return facts{id: t.ID.String(), team: t.TeamID.String(), user: t.UserID.String(), name: string(t.Status), created: t.CreateTime, deleted: t.DeleteTime}
	},
	revision: func(t *gatehouse.TopUp) *gatehouse.Revision { return &t.Revision },
	bare:     plain[gatehouse.TopUp],
}

var invoiceTable = authority[gatehouse.Invoice]{
	table: "invoices", kind: gatehouse.KindInvoice,
	facts: func(i *gatehouse.Invoice) facts {
		return facts{id: i.ID.String(), team: i.TeamID.String(), name: cycleName(i.Cycle), created: i.CreateTime, deleted: i.DeleteTime}
	},
	revision: func(i *gatehouse.Invoice) *gatehouse.Revision { return &i.Revision },
	bare:     plain[gatehouse.Invoice],
}

// cycleName is what the invoice that closes a cycle is found by; that of a
// top-up closes none.
func cycleName(c gatehouse.Cycle) string {
	if c.IsZero() {
		return ""
	}
	return c.String()
}

var invitationTable = authority[gatehouse.Invitation]{
	table: "invitations", kind: gatehouse.KindInvitation,
	facts: func(i *gatehouse.Invitation) facts {
		return facts{id: i.ID.String(), team: i.TeamID.String(), user: i.UserID.String(), created: i.CreateTime, expire: i.ExpireTime, deleted: i.DeleteTime}
	},
	revision: func(i *gatehouse.Invitation) *gatehouse.Revision { return &i.Revision },
	bare: func(i *gatehouse.Invitation) (gatehouse.Invitation, []byte) {
		c := *i
		c.Digest = gatehouse.Digest{}
		return c, i.Digest[:]
	},
	place: func(i *gatehouse.Invitation) string {
		return "invitations/" + i.ID.String() + "/" + i.TeamID.String() + "/digest"
	},
	dress: func(i *gatehouse.Invitation, b []byte) error { return digest(&i.Digest, b) },
}

var alertHookTable = authority[gatehouse.AlertHook]{
	table: "alert_hooks", kind: gatehouse.KindAlertHook,
	facts: func(h *gatehouse.AlertHook) facts {
		return facts{id: h.ID.String(), team: h.TeamID.String(), created: h.CreateTime, deleted: h.DeleteTime}
	},
	revision: func(h *gatehouse.AlertHook) *gatehouse.Revision { return &h.Revision },
	bare: func(h *gatehouse.AlertHook) (gatehouse.AlertHook, []byte) {
		c := *h
		c.Secret = ""
		if h.Secret == "" {
			return c, nil
		}
		return c, []byte(h.Secret)
	},
	// Signatures are for one receiver: pointed at another, the secret does not open.
	place: func(h *gatehouse.AlertHook) string {
		return "alert_hooks/" + h.ID.String() + "/" + h.TeamID.String() + "/" + origin(h.URL) + "/secret"
	},
	dress: func(h *gatehouse.AlertHook, b []byte) error { h.Secret = string(b); return nil },
}
