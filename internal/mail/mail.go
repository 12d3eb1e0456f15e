// Package mail hands letters to an SMTP server: invitations and alerts. It is a
// driver; who writes what to whom is decided in control.
package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	mailer "github.com/wneessen/go-mail"
)

// How the connection is secured.
const (
	StartTLS = "starttls" // begin in the clear and refuse to go on without TLS
	TLS      = "tls"      // TLS from the first byte
	None     = "none"     // in the clear; for a server on the same machine
)

// Config says which server takes letters and from whom they are.
type Config struct {
	Server             string // host:port
	From               string // address, or "Name <address>"
	Username, Password string // none: no authentication
	Security           string // StartTLS unless said
	Roots              *x509.CertPool
}

// Sender sends letters, each over a connection of its own. It is safe for
// concurrent use.
type Sender struct {
	host string
	from string
	opts []mailer.Option
}

// timeout bounds one letter unless the caller's context does.
const timeout = 30 * time.Second

// New checks c. It connects to nothing.
func New(c Config) (*Sender, error) {
	host, text, err := net.SplitHostPort(c.Server)
	port, bad := strconv.ParseUint(text, 10, 16)
	if err != nil || bad != nil || host == "" {
		return nil, fmt.Errorf("mail.server: %q is not host:port", c.Server)
	}
	if err := mailer.NewMsg().From(c.From); err != nil {
		return nil, fmt.Errorf("mail.from: %q is not an address such as gatehouse@example.com", c.From)
	}
	s := &Sender{host: host, from: c.From, opts: []mailer.Option{
		mailer.WithPort(int(port)),
		mailer.WithTLSConfig(&tls.Config{ServerName: host, RootCAs: c.Roots, MinVersion: tls.VersionTLS12}),
	}}
	switch c.Security {
	case "", StartTLS:
		s.opts = append(s.opts, mailer.WithTLSPolicy(mailer.TLSMandatory))
	case TLS:
		s.opts = append(s.opts, mailer.WithSSL())
	case None:
		s.opts = append(s.opts, mailer.WithTLSPolicy(mailer.NoTLS))
	default:
		return nil, fmt.Errorf("mail.security: must be %s, %s or %s", StartTLS, TLS, None)
	}
	if c.Username != "" {
		s.opts = append(s.opts, mailer.WithSMTPAuth(mailer.SMTPAuthAutoDiscover), mailer.WithUsername(c.Username), mailer.WithPassword(c.Password))
	}
	return s, nil
}

// Send hands one letter of plain text to the server. Without an error the server
// has taken it; that it arrives is the server's affair.
func (s *Sender) Send(ctx context.Context, to, subject, text string) error {
	m := mailer.NewMsg()
	if err := m.From(s.from); err != nil {
		return err
	}
	if err := m.To(to); err != nil {
		return err
	}
	m.Subject(subject)
	m.SetDate()
	m.SetMessageID()
	m.SetBodyString(mailer.TypeTextPlain, text)
	wait := timeout // the library looks at the context while it dials alone
	if at, ok := ctx.Deadline(); ok {
		wait = max(time.Until(at), time.Millisecond)
	}
	client, err := mailer.NewClient(s.host, append(slices.Clone(s.opts), mailer.WithTimeout(wait))...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, m)
}
