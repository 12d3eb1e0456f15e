package serve

import (
	"fmt"
	"net"
	"net/url"
)

// The roles of the program.
const (
	RoleAll     = "all"     // control and one gateway in one process
	RoleControl = "control" // the management plane over a database; gateways join it
	RoleGateway = "gateway" // the data plane; it holds no database credential
)

// checkRole reports what a role lacks, and what it would not use: a gateway
// that is given a database would have a credential that it must not hold.
func (c *Config) checkRole() (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	switch c.Role {
	case RoleAll, RoleControl:
		if len(c.Control) > 0 || c.JoinToken != "" {
			bad("control and join_token: are for role gateway; this one is %s", c.Role)
		}
	case RoleGateway:
		if c.Database != "" {
			bad("database: is for roles all and control; a gateway reaches the truth through control alone")
		}
		if len(c.Upstreams)+len(c.Models)+len(c.Aliases)+len(c.Prices)+len(c.Clusters) > 0 {
			bad("upstreams, models, aliases, prices and clusters: are declared on control")
		}
		for _, u := range c.Control {
			if err := c.checkControl(u); err != nil {
				bad("control: %v", err)
			}
		}
	default:
		bad("role: must be all, control or gateway")
	}
	for _, d := range []struct{ name, dsn string }{{"database", c.Database}, {"database_listen", c.DatabaseListen}} {
		if u, err := url.Parse(d.dsn); d.dsn != "" && (err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql") {
			bad("%s: must be postgres://USER@HOST/NAME", d.name) // never the value: it holds a password
		}
	}
	if c.DatabaseListen != "" && c.Database == "" {
		bad("database_listen: is for a database that is reached through a pooler; there is none")
	}
	if c.Authority != "" {
		if u, err := url.Parse(c.Authority); err != nil || u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix" {
			bad("authority: must be redis://HOST:PORT or rediss://HOST:PORT")
		}
	}
	return problems
}

// checkControl refuses plain HTTP beyond loopback, as for listeners.
func (c *Config) checkControl(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("%q is not a URL such as https://control.example.com:8090", text)
	}
	host := u.Hostname()
	if u.Scheme == "https" || loopbackHost(host) || c.Insecure {
		return nil
	}
	return fmt.Errorf("%s is not loopback: use https, or --insecure when something in between does TLS", net.JoinHostPort(host, u.Port()))
}
