package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"gatehouse"
	"gatehouse/client"
)

// clientCommands are the commands that speak to a management plane.
type clientCommands struct {
	Keys           keysCmd        `cmd:"" help:"Manage inference keys."`
	ManagementKeys managersCmd    `cmd:"" help:"Manage the credentials of the management plane."`
	Upstreams      upstreamsCmd   `cmd:"" help:"Manage the providers that requests go to."`
	Models         modelsCmd      `cmd:"" help:"Manage the model catalogue."`
	Aliases        aliasesCmd     `cmd:"" help:"Manage other names for models."`
	Prices         pricesCmd      `cmd:"" help:"Manage what models cost."`
	Usage          usageCommands  `cmd:"" help:"Ask what was used: dollars and tokens by time, model, key or tag."`
	Billing        billingCmd     `cmd:"" help:"Look after money: credit, limits, invoices, payments and the books."`
	Budgets        budgetsCmd     `cmd:"" help:"Manage what a team, a key, an owner or a tag may spend."`
	Alerts         alertsCmd      `cmd:"" help:"Manage where messages about money go."`
	Clusters       clustersCmd    `cmd:"" help:"Manage groups of gateways."`
	Gateways       gatewaysCmd    `cmd:"" help:"Look at gateways and forget those that will not come back."`
	JoinTokens     joinTokensCmd  `cmd:"" help:"Manage what makes a process a gateway of a cluster."`
	Collections    collectionsCmd `cmd:"" help:"Manage collections: documents that are searched together."`
	Documents      documentsCmd   `cmd:"" help:"Manage the documents of collections, and wait until they can be found."`
	Files          filesCmd       `cmd:"" help:"Manage files, with an API key, through a gateway."`
	Search         searchCmd      `cmd:"" help:"Search collections, with an API key, through a gateway."`
	Team           teamCmd        `cmd:"" help:"Manage teams."`
	Users          usersCmd       `cmd:"" help:"Manage the people of a team."`
	Login          loginCmd       `cmd:"" help:"Sign in at the identity provider, and keep a management key for a working day."`
	Validate       validateCmd    `cmd:"" help:"Show what the management key in use is and may do."`
}

// remote are the flags of every command that speaks to a management plane. The
// key is not among them: arguments are visible to everybody on the machine.
type remote struct {
	URL      string        `help:"Management plane. The key is read from GATEHOUSE_MANAGEMENT_KEY or XAI_MANAGEMENT_KEY, else it is that of gatehouse login." env:"GATEHOUSE_URL" default:"http://127.0.0.1:8090" group:"Connection"`
	CACert   string        `name:"ca-cert" help:"Certificates to trust instead of the system's (PEM)." env:"GATEHOUSE_CA_CERT" type:"existingfile" placeholder:"FILE" group:"Connection"`
	Insecure bool          `help:"Allow plain HTTP beyond loopback." group:"Connection"`
	Timeout  time.Duration `help:"Give up after this long." default:"60s" group:"Connection"`
	Reason   string        `help:"Why, for the audit log." placeholder:"TEXT" group:"Connection"`
	JSON     bool          `name:"json" help:"Print the wire's object alone." group:"Connection"`
}

// session is a command that has a client.
type session struct {
	context.Context
	*client.Client
	printer
}

// printer is where a command prints, and the last answer, which it prints under
// --json.
type printer struct {
	e    *env
	json bool
	body []byte
}

// heard keeps an answer.
func (p *printer) heard(body []byte) { p.body = bytes.Clone(body) }

// do runs f with a client. Longer is what f is allowed beside --timeout,
// because it was asked to wait.
func (r *remote) do(e *env, longer time.Duration, f func(*session) error) error {
	key, err := managementKey(r.URL)
	if err != nil {
		return err
	}
	return r.with(e, key, longer, f)
}

// with is do with a given credential, the zero one where none is needed.
func (r *remote) with(e *env, key gatehouse.Token, longer time.Duration, f func(*session) error) (err error) {
	s := &session{printer: printer{e: e, json: r.JSON}}
	opts, err := transport(r.Insecure, r.CACert)
	if err != nil {
		return err
	}
	opts = append(opts, client.Tap(s.heard), client.Reason(r.Reason))
	if s.Client, err = client.New(r.URL, key, opts...); err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(e, r.Timeout+longer)
	defer cancel()
	s.Context = ctx
	return f(s)
}

// transport is what flags say of a connection.
func transport(insecure bool, caCert string) (opts []client.Option, err error) {
	if insecure {
		opts = append(opts, client.InsecureHTTP())
	}
	if caCert == "" {
		return opts, nil
	}
	roots, err := rootsFrom(caCert)
	return append(opts, client.TLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})), err
}

// managementKey is the key to speak to url with: the environment's, else that of
// a login there. It is never a flag, since those are visible to everybody.
func managementKey(url string) (gatehouse.Token, error) {
	for _, name := range []string{"GATEHOUSE_MANAGEMENT_KEY", "XAI_MANAGEMENT_KEY"} {
		if text := os.Getenv(name); text != "" {
			key, err := client.ParseKey(text)
			if err != nil || key.Plane() != gatehouse.Management {
				return key, gatehouse.Errorf(gatehouse.Unauthenticated, "%s does not hold a management key", name)
			}
			return key, nil
		}
	}
	key, err := storedKey(url, time.Now())
	if err == nil && key.IsZero() {
		err = gatehouse.Errorf(gatehouse.Unauthenticated, "no management key: set GATEHOUSE_MANAGEMENT_KEY, or run gatehouse login")
	}
	return key, err
}

func rootsFrom(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "%s holds no certificate", file)
	}
	return pool, nil
}

// show prints the answer: the wire's object on one line, or as a person reads
// it. Servers differ in their white space, even from build to build; scripts
// that compare must not see that.
func (s *printer) show(human func(w io.Writer)) error {
	if s.json {
		var out bytes.Buffer
		if err := json.Compact(&out, s.body); err != nil {
			return err
		}
		_, err := fmt.Fprintln(s.e.out, out.String())
		return err
	}
	human(s.e.out)
	return nil
}

// secret prints a new key alone on stdout, so that it can be piped to where it
// belongs, and what it is on stderr.
func (s *session) secret(t gatehouse.Token, note string, advice ...string) error {
	for _, a := range advice {
		fmt.Fprintln(s.e.err, "warning:", a)
	}
	return s.show(func(w io.Writer) {
		fmt.Fprintln(s.e.err, note)
		fmt.Fprintln(w, t.Reveal())
	})
}

// table prints rows in columns.
func (s *printer) table(header string, rows [][]string) error {
	return s.show(func(w io.Writer) {
		columns(w, append([][]string{strings.Fields(header)}, rows...))
	})
}

// record prints one thing, a member a line, leaving out what is empty.
func (s *printer) record(pairs ...string) error {
	var rows [][]string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			rows = append(rows, pairs[i:i+2])
		}
	}
	return s.show(func(w io.Writer) { columns(w, rows) })
}

// columns aligns. The last column is never padded.
func columns(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(each(r, line), "\t"))
	}
	t.Flush()
}

// line keeps a value from being more than one: names come from other people.
func line(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // control characters, and marks that turn text around
			return ' '
		}
		return r
	}, s)
}

func each[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = f(a)
	}
	return out
}

// paging are the flags of lists.
type paging struct {
	PageSize  int    `help:"Print one page of this many. Default: everything; one page of the server's choice with --json." placeholder:"N"`
	PageToken string `help:"Print the page that this token names." placeholder:"TOKEN"`
}

// pages reads a list: whole for people, and for programs the one page that the
// object on stdout is.
func pages[T any](s *printer, p paging, fetch func(gatehouse.Page) ([]T, string, error)) ([]T, error) {
	var all []T
	at := gatehouse.Page{Size: p.PageSize, Token: p.PageToken}
	for {
		some, next, err := fetch(at)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if next == "" {
			return all, nil
		}
		if s.json || p.PageSize > 0 || p.PageToken != "" {
			fmt.Fprintln(s.e.err, "there is more: --page-token", next)
			return all, nil
		}
		at.Token = next
	}
}

type validateCmd struct{ remote }

// Run shows the caller to itself.
func (c *validateCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		k, err := s.Self(s)
		if err != nil {
			return err
		}
		return s.record(managerPairs(k)...)
	})
}
