package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/control"
	"gatehouse/internal/mail"
	"gatehouse/internal/payment"
	"gatehouse/internal/signin"
	"gatehouse/internal/webhook"
)

// MailConfig says who carries letters: invitations and alerts. Without a server
// none is sent.
type MailConfig struct {
	Server       string `koanf:"server"` // host:port
	From         string `koanf:"from"`
	Username     string `koanf:"username"`
	PasswordFile string `koanf:"password_file"`
	Security     string `koanf:"security"` // starttls, tls or none
}

// OIDCConfig says who proves who people are. Without an issuer nobody signs in.
type OIDCConfig struct {
	Issuer      string           `koanf:"issuer"`
	ClientID    string           `koanf:"client_id"`
	Audience    string           `koanf:"audience"`
	GroupsClaim string           `koanf:"groups_claim"`
	Scopes      []string         `koanf:"scopes"`
	DefaultRole string           `koanf:"default_role"` // of who is in no listed group
	Lifetime    time.Duration    `koanf:"lifetime"`     // of the key that a sign-in gives
	CheckEvery  time.Duration    `koanf:"check_every"`  // how often the provider is asked who is still there
	Roles       []OIDCRoleConfig `koanf:"roles"`
}

// OIDCRoleConfig gives a group of the provider a role in a team.
type OIDCRoleConfig struct {
	Group string `koanf:"group"`
	Team  string `koanf:"team"` // id; the first team unless said
	Role  string `koanf:"role"`
}

// PaymentsConfig says who takes payments.
type PaymentsConfig struct {
	Processor string          `koanf:"processor"` // manual, or the name of a webhook
	Webhooks  []PaymentConfig `koanf:"webhooks"`
}

// PaymentConfig is a processor that tells by signed events what was paid.
type PaymentConfig struct {
	Name       string `koanf:"name"`
	SecretFile string `koanf:"secret_file"`
}

// AlertsConfig shapes what alerts may reach.
type AlertsConfig struct {
	AllowPrivate bool `koanf:"allow_private"`
}

// company are the drivers by which control reaches others: mail, identity,
// payments, alerts. Each is made of the configuration alone and connects to
// nothing, so that checking makes them too.
type company struct {
	mailer    *mail.Sender
	identity  *signin.Provider
	rules     control.SignInRules
	webhooks  map[string]string // secrets by name
	processor string
	sender    webhook.Sender
}

func (c *Config) company(now func() time.Time) (*company, error) {
	out := &company{processor: c.Payments.Processor, webhooks: map[string]string{}, sender: webhook.Sender{AllowPrivate: c.Alerts.AllowPrivate, Now: now}}
	return out, errors.Join(out.withMail(c.Mail), out.withIdentity(c.OIDC, now), out.withPayments(c.Payments))
}

func (o *company) withMail(c MailConfig) (err error) {
	if c.Server == "" {
		return nil
	}
	password := ""
	if c.PasswordFile != "" {
		if password, err = readSecret(c.PasswordFile, nil); err != nil {
			return fmt.Errorf("mail.password_file: %w", err)
		}
	}
	o.mailer, err = mail.New(mail.Config{Server: c.Server, From: c.From, Username: c.Username, Password: password, Security: c.Security})
	return err
}

func (o *company) withIdentity(c OIDCConfig, now func() time.Time) error {
	if c.Issuer == "" {
		return nil
	}
	if c.ClientID == "" {
		return errors.New("oidc.client_id: is required beside oidc.issuer")
	}
	if !strings.HasPrefix(c.Issuer, "https://") && !loopbackURL(c.Issuer) {
		return errors.New("oidc.issuer: must be an https URL")
	}
	if c.Lifetime < 0 || c.Lifetime > control.MaxSignIn {
		return fmt.Errorf("oidc.lifetime: must be at most %s", control.MaxSignIn)
	}
	if c.CheckEvery <= 0 || c.CheckEvery > signInEvery {
		return fmt.Errorf("oidc.check_every: must be at most %s", signInEvery)
	}
	o.identity = signin.New(signin.Config{Issuer: c.Issuer, ClientID: c.ClientID, Audience: c.Audience, Groups: c.GroupsClaim, Scopes: c.Scopes, Now: now})
	o.rules = control.SignInRules{Default: gatehouse.Role(c.DefaultRole), Lifetime: c.Lifetime}
	if c.DefaultRole != "" && !o.rules.Default.Valid() {
		return fmt.Errorf("oidc.default_role: %q is no role", c.DefaultRole)
	}
	for _, r := range c.Roles {
		g := control.GroupRole{Group: r.Group, Role: gatehouse.Role(r.Role)}
		var err error
		if r.Team != "" {
			g.Team, err = gatehouse.ParseID(r.Team)
		}
		if r.Group == "" || !g.Role.Valid() || err != nil {
			return fmt.Errorf("oidc.roles: %q needs a group, a role (owner, admin, billing, developer, auditor, viewer) and, if any, a team's id", r.Group)
		}
		o.rules.Groups = append(o.rules.Groups, g)
	}
	return nil
}

func (o *company) withPayments(c PaymentsConfig) error {
	for _, w := range c.Webhooks {
		text, err := readSecret(w.SecretFile, nil)
		if err != nil {
			return fmt.Errorf("payments.webhooks[].secret_file: %w", err)
		}
		o.webhooks[w.Name] = text
	}
	if _, known := o.webhooks[o.processor]; !known && o.processor != "manual" {
		return fmt.Errorf("payments.processor: %q is neither manual nor the name of one of payments.webhooks", o.processor)
	}
	_, err := payment.NewEdge(o.webhooks, nil, time.Now)
	return err
}

// loopbackURL reports whether a URL leads to this machine.
func loopbackURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && loopbackHost(u.Hostname())
}

func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// equip gives control what it reaches others by.
func (o *company) equip(c *control.Config, publicURL string) {
	c.PublicURL, c.SignIns = publicURL, o.rules
	c.Processor = payment.Manual{}
	if o.processor != "manual" {
		c.Processor = payment.External(o.processor)
	}
	if o.mailer != nil {
		c.Mailer = o.mailer
	}
	if o.identity != nil {
		c.Identities = o.identity
	}
	c.Notifier = o
}

// Notify carries an alert to a webhook or, by mail, to an address.
func (o *company) Notify(ctx context.Context, h *gatehouse.AlertHook, a *gatehouse.Alert) error {
	switch {
	case h.URL != "":
		return o.sender.Deliver(ctx, h, told{a.ID, a.TeamID, a.Time, a.Kind, a.Title, a.Text, a.Share})
	case o.mailer == nil:
		return errors.New("there is no mail server in the configuration")
	}
	return o.mailer.Send(ctx, h.Email, "Gatehouse: "+a.Title, a.Title+".\n\n"+a.Text+"\n")
}

// publicURL is where people reach the management plane; unless said, on this
// machine.
func (c *Config) publicURL() string {
	switch {
	case c.PublicURL != "":
		return c.PublicURL
	case c.TLSCert != "":
		return "https://" + c.Management.Listen
	}
	return "http://" + c.Management.Listen
}

// told is an alert as a webhook gets it.
type told struct {
	ID     gatehouse.ID `json:"id"`
	TeamID gatehouse.ID `json:"teamId"`
	Time   time.Time    `json:"time"`
	Kind   string       `json:"kind"`
	Title  string       `json:"title"`
	Text   string       `json:"text"`
	Share  int          `json:"percent,omitempty"`
}

// How often money and people are looked after.
const (
	alertEvery  = 15 * time.Second
	signInEvery = 30 * time.Second // at most: who left is out within a minute
	closeEvery  = time.Hour
)

// lookAfter starts the jobs of money and people.
func (p *program) lookAfter() {
	p.job("alerts", alertEvery, p.service.CheckAlerts)
	p.job("billing-cycles", closeEvery, p.service.CloseDue)
	if p.company.identity != nil {
		p.job("sign-ins", p.cfg.OIDC.CheckEvery, p.service.CheckSignIns)
	}
}

// withPayments answers payment processors beside the management plane: what they
// show is a signature, and no management key.
func (p *program) withPayments(next http.Handler) (http.Handler, error) {
	if len(p.company.webhooks) == 0 {
		return next, nil
	}
	edge, err := payment.NewEdge(p.company.webhooks, p.service, p.now)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/webhooks/payments/", edge)
	mux.Handle("/", next)
	return mux, nil
}
