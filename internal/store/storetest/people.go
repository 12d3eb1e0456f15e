package storetest

import (
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

var peoplePromises = []promise{
	{"what a team pays by reads back, and lists are in order", billingRecords},
	{"an invitation keeps its digest, an alert hook its secret", sealedRecords},
	{"a person is found by subject and by address", peopleFound},
	{"sign-ins are kept until they are dropped", signIns},
	{"alerts are kept once, and a share is told of once", alerts},
}

func billingRecords(b *bench) {
	limit := 7 * gatehouse.USD
	account := &gatehouse.BillingAccount{ID: b.team, Info: gatehouse.BillingInfo{Name: "n"}, SoftLimit: &limit, CreateTime: start}
	topUp := func(at time.Time, status gatehouse.TopUpStatus) *gatehouse.TopUp {
		return &gatehouse.TopUp{ID: gatehouse.NewID(), TeamID: b.team, Amount: gatehouse.USD, Status: status, CreateTime: at}
	}
	t1, t2 := topUp(start, gatehouse.TopUpSucceeded), topUp(start.Add(time.Hour), gatehouse.TopUpPending)
	foreign := topUp(start.Add(2*time.Hour), gatehouse.TopUpPending)
	foreign.TeamID = gatehouse.NewID()
	closing := &gatehouse.Invoice{ID: gatehouse.NewID(), TeamID: b.team, Number: "1", Cycle: march, CreateTime: start,
		Lines: []gatehouse.InvoiceLine{{Cluster: "c", Model: "m", Unit: gatehouse.Images, Price: 3, Units: 2, Ticks: 6}}}
	paid := &gatehouse.Invoice{ID: gatehouse.NewID(), TeamID: b.team, Number: "2", TopUp: t1.ID, CreateTime: start.Add(time.Hour)}
	b.view(func(v store.View) error {
		_, err := v.BillingAccount(b.team)
		b.is(err, gatehouse.NotFound)
		_, err = v.PendingTopUp(b.team)
		b.is(err, gatehouse.NotFound)
		return nil
	})
	b.update(func(tx store.Tx) error {
		b.ok(tx.PutBillingAccount(account, b.act("billing_account.updated", "a")))
		for _, t := range []*gatehouse.TopUp{t2, t1, foreign} {
			b.ok(tx.PutTopUp(t, b.act("top_up.created", "t")))
		}
		b.ok(tx.PutInvoice(closing, b.act("invoice.created", "c")))
		return tx.PutInvoice(paid, b.act("invoice.created", "p"))
	})
	b.view(func(v store.View) error {
		a, err := v.BillingAccount(b.team)
		b.ok(err)
		b.equal(a, account)
		one, err := v.TopUp(t1.ID)
		b.ok(err)
		b.equal(one, t1)
		all, err := v.TopUps(b.team, store.Cursor{}, 9)
		b.ok(err)
		b.equal(all, []*gatehouse.TopUp{t1, t2})
		all, err = v.TopUps(gatehouse.ID{}, store.Cursor{Time: t1.CreateTime, ID: t1.ID.String()}, 9)
		b.ok(err)
		b.equal(all, []*gatehouse.TopUp{t2, foreign})
		pending, err := v.PendingTopUp(b.team)
		b.ok(err)
		b.equal(pending, t2)
		invoices, err := v.Invoices(b.team)
		b.ok(err)
		b.equal(invoices, []*gatehouse.Invoice{paid, closing})
		of, err := v.InvoiceOf(b.team, march)
		b.ok(err)
		b.equal(of, closing)
		_, err = v.InvoiceOf(b.team, gatehouse.Cycle{})
		b.is(err, gatehouse.NotFound)
		same, err := v.Invoice(paid.ID)
		b.equal(same, paid)
		return err
	})
}

func sealedRecords(b *bench) {
	i := &gatehouse.Invitation{ID: gatehouse.NewID(), TeamID: b.team, Email: "a@example.org", Role: gatehouse.RoleViewer,
		Digest: gatehouse.DigestOf("t"), CreateTime: start, ExpireTime: start.Add(gatehouse.InvitationLifetime)}
	revoked := &gatehouse.Invitation{ID: gatehouse.NewID(), TeamID: b.team, CreateTime: start, DeleteTime: start}
	h := &gatehouse.AlertHook{ID: gatehouse.NewID(), TeamID: b.team, URL: "https://hooks.example.org/x", Secret: "whsec", CreateTime: start}
	mail := &gatehouse.AlertHook{ID: gatehouse.NewID(), TeamID: b.team, Email: "a@example.org", CreateTime: start.Add(time.Hour)}
	b.update(func(tx store.Tx) error {
		b.ok(tx.PutInvitation(i, b.act("invitation.created", "i")))
		b.ok(tx.PutInvitation(revoked, b.act("invitation.revoked", "i")))
		b.ok(tx.PutAlertHook(mail, b.act("alert_hook.created", "m")))
		return tx.PutAlertHook(h, b.act("alert_hook.created", "h"))
	})
	b.view(func(v store.View) error {
		got, err := v.Invitation(i.ID)
		b.ok(err)
		b.equal(got, i)
		list, err := v.Invitations(b.team, store.Cursor{}, 9)
		b.ok(err)
		b.equal(list, []*gatehouse.Invitation{i})
		hook, err := v.AlertHook(h.ID)
		b.ok(err)
		b.equal(hook, h)
		hooks, err := v.AlertHooks(gatehouse.ID{})
		b.equal(hooks, []*gatehouse.AlertHook{h, mail})
		return err
	})
}

func peopleFound(b *bench) {
	user := func(subject, email string) *gatehouse.User {
		return &gatehouse.User{ID: gatehouse.NewID(), TeamID: b.team, Subject: subject, Email: email, CreateTime: start}
	}
	ada, gone, foreign := user("https://id.example.org ada", "Ada@Example.org"), user("https://id.example.org ada", "ada@example.org"), user("s", "ada@example.org")
	gone.DeleteTime, foreign.TeamID = start, gatehouse.NewID()
	b.update(func(tx store.Tx) error {
		for _, u := range []*gatehouse.User{gone, ada, foreign, user("", "")} {
			b.ok(tx.PutUser(u, b.act("user.created", "u")))
		}
		return nil
	})
	b.view(func(v store.View) error {
		got, err := v.UserBySubject(ada.Subject)
		b.ok(err)
		b.equal(got, ada)
		got, err = v.UserByEmail(b.team, "aDA@eXAMPLE.ORG")
		b.ok(err)
		b.equal(got, ada)
		for _, subject := range []string{"", "nobody"} {
			_, err = v.UserBySubject(subject)
			b.is(err, gatehouse.NotFound)
			_, err = v.UserByEmail(b.team, subject)
			b.is(err, gatehouse.NotFound)
		}
		return nil
	})
}

func signIns(b *bench) {
	s := store.SignInState{User: b.user, Refresh: []byte("refresh"), Checked: start}
	b.work(func(w store.Work) error { return w.PutSignIn(store.SignInState{User: b.user}) })
	b.work(func(w store.Work) error { return w.PutSignIn(s) })
	list := func() (out []store.SignInState) {
		b.view(func(v store.View) (err error) { out, err = v.SignIns(); return err })
		return out
	}
	b.equal(list(), []store.SignInState{s})
	b.work(func(w store.Work) error { return w.DropSignIn(b.user) })
	b.equal(len(list()), 0)
}

func alerts(b *bench) {
	alert := func(at time.Time) gatehouse.Alert {
		return gatehouse.Alert{ID: gatehouse.NewID(), TeamID: b.team, Time: at, Kind: "budget", Title: "t", Text: "x", Fund: "f", Share: 50}
	}
	a1, a2, foreign := alert(start), alert(start.Add(time.Hour)), alert(start.Add(2*time.Hour))
	foreign.TeamID = gatehouse.NewID()
	b.work(func(w store.Work) error {
		for _, a := range []gatehouse.Alert{a1, foreign, a2, a1} {
			b.ok(w.PutAlert(a))
		}
		for _, want := range []bool{true, false} {
			first, err := w.Alerted("f", 50)
			b.ok(err)
			b.equal(first, want)
		}
		first, err := w.Alerted("f", 80)
		b.equal(first, true)
		return err
	})
	b.view(func(v store.View) error {
		got, err := v.Alerts(b.team, store.Cursor{}, 9)
		b.ok(err)
		b.equal(got, []gatehouse.Alert{a2, a1})
		got, err = v.Alerts(b.team, store.Cursor{Time: a2.Time, ID: a2.ID.String()}, 9)
		b.ok(err)
		b.equal(got, []gatehouse.Alert{a1})
		got, err = v.Alerts(gatehouse.ID{}, store.Cursor{}, 1)
		b.equal(got, []gatehouse.Alert{foreign})
		return err
	})
}
