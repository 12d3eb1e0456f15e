package control

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"

	"gatehouse"
	"gatehouse/internal/store"
)

const hookNoun = "alert hook"

// maxHooks bounds the alert hooks of a team.
const maxHooks = 20

// CreateAlertHook implements gatehouse.AlertHooks.
func (c *Caller) CreateAlertHook(ctx context.Context, h gatehouse.AlertHook) (*gatehouse.AlertHook, error) {
	h.ID = gatehouse.NewID()
	secret := ""
	if h.URL != "" {
		secret = "ghwh_" + rand.Text()
	}
	return mutate(ctx, c, mutation[*gatehouse.AlertHook]{
		op: gatehouse.CreateAlertHook, target: h.TeamID.String(), secret: true,
		run: func(tx store.Tx, who *principal) (*gatehouse.AlertHook, error) {
			t, err := liveTeam(tx, who, who.home(h.TeamID))
			if err != nil {
				return nil, err
			}
			made := gatehouse.AlertHook{ID: h.ID, TeamID: t.ID, URL: h.URL, Email: h.Email, Secret: secret, CreateTime: utc(who.now)}
			if err := judgeHook(tx, &made); err != nil {
				return nil, err
			}
			return &made, tx.PutAlertHook(&made, done(gatehouse.CreateAlertHook, "alert_hook.created", t.ID, gatehouse.KindAlertHook, made.ID.String(),
				fmt.Sprintf("Alerts are sent to %s", destination(&made))))
		},
	})
}

// judgeHook checks where alerts are to go. Plain HTTP is for loopback alone, as
// everywhere; whether an address may be reached is decided when it is dialled.
func judgeHook(v store.View, h *gatehouse.AlertHook) error {
	var bad gatehouse.Violations
	if (h.URL == "") == (h.Email == "") {
		bad.Addf("body", "needs either url or email")
	}
	if h.URL != "" {
		u, err := url.Parse(h.URL)
		if err != nil || u.Host == "" || u.User != nil || len(h.URL) > 2000 || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			bad.Addf("url", "must be an https URL without a user")
		}
	}
	if h.Email != "" {
		if a, err := mail.ParseAddress(h.Email); err != nil || a.Address != h.Email || len(h.Email) > maxEmail {
			bad.Addf("email", "is not an address such as ops@example.com")
		}
	}
	all, err := v.AlertHooks(h.TeamID)
	if err != nil {
		return err
	}
	if len(all) >= maxHooks {
		bad.Addf("body", "a team has at most %d alert hooks", maxHooks)
	}
	return bad.Err()
}

// loopback goes by the address: a name may begin with 127.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// destination names a hook without what may be secret in its URL.
func destination(h *gatehouse.AlertHook) string {
	if h.Email != "" {
		return "a mail address"
	}
	u, err := url.Parse(h.URL)
	if err != nil {
		return "a webhook"
	}
	return "the webhook at " + u.Host
}

// ListAlertHooks implements gatehouse.AlertHooks.
func (c *Caller) ListAlertHooks(ctx context.Context, team gatehouse.ID) ([]*gatehouse.AlertHook, error) {
	return read(ctx, c, query[[]*gatehouse.AlertHook]{
		op: gatehouse.ListAlertHooks, act: gatehouse.Act{Action: "alert_hook.listed", Kind: gatehouse.KindAlertHook, TeamID: team},
		run: func(v store.View, who *principal) ([]*gatehouse.AlertHook, error) {
			t, err := liveTeam(v, who, who.home(team))
			if err != nil {
				return nil, err
			}
			all, err := v.AlertHooks(t.ID)
			for _, h := range all {
				h.Secret = ""
			}
			return all, err
		},
	})
}

// DeleteAlertHook implements gatehouse.AlertHooks.
func (c *Caller) DeleteAlertHook(ctx context.Context, team, id gatehouse.ID) error {
	_, err := mutate(ctx, c, mutation[struct{}]{
		op: gatehouse.DeleteAlertHook, target: id.String(),
		run: func(tx store.Tx, who *principal) (none struct{}, err error) {
			if !who.reaches(who.home(team)) {
				return none, missing(hookNoun)
			}
			h, err := found(tx.AlertHook(id))
			if err != nil {
				return none, err
			}
			if h == nil || h.TeamID != who.home(team) || !h.DeleteTime.IsZero() {
				return none, missing(hookNoun)
			}
			if err := c.matches(h.Revision); err != nil {
				return none, err
			}
			h.DeleteTime, h.Secret = utc(who.now), ""
			return none, tx.PutAlertHook(h, done(gatehouse.DeleteAlertHook, "alert_hook.deleted", h.TeamID, gatehouse.KindAlertHook, id.String(),
				fmt.Sprintf("Alerts are no longer sent to %s", destination(h))))
		},
	})
	return err
}

// ListAlerts implements gatehouse.AlertHooks.
func (c *Caller) ListAlerts(ctx context.Context, team gatehouse.ID, page gatehouse.Page) ([]gatehouse.Alert, string, error) {
	out, err := read(ctx, c, query[listed[gatehouse.Alert]]{
		op: gatehouse.ListAlerts, act: gatehouse.Act{Action: "alert.listed", Kind: gatehouse.KindTeam, TeamID: team},
		run: func(v store.View, who *principal) (out listed[gatehouse.Alert], err error) {
			t, err := liveTeam(v, who, who.home(team))
			if err != nil {
				return out, err
			}
			p, err := c.pager(gatehouse.ListAlerts, t.ID, "", page)
			if err != nil {
				return out, err
			}
			all, err := v.Alerts(t.ID, p.cursor(), p.size+1)
			if err != nil {
				return out, err
			}
			return cut(p, all, func(a gatehouse.Alert) place { return place{Time: a.Time, ID: a.ID.String()} })
		},
	})
	return out.unpack(err)
}
