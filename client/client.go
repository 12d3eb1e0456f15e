// Package client is the management plane over HTTP: every contract of package
// gatehouse, implemented with one management key.
//
// It speaks through the generated messages alone. A member that the wire gains,
// loses or renames is a compile error here, and the conformance suite that
// drives control drives this package too, so SDK and server cannot drift apart
// unnoticed.
//
//	key, err := client.ParseKey(os.Getenv("GATEHOUSE_MANAGEMENT_KEY"))
//	c, err := client.New("https://gatehouse.example.com:8090", key)
//	minted, err := c.CreateKey(ctx, gatehouse.NewKey{Name: "ci", ACL: acl})
//	fmt.Println(minted.Token.Reveal())
//
// Errors are *gatehouse.Error with the code that the server's use-case gave
// them: errors.Is(err, gatehouse.NotFound). Calls end with their context; none
// is retried, because only the caller knows whether it may happen twice.
package client

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"gatehouse"
)

// Client is the management plane as the holder of one management key sees it.
// It is safe for concurrent use.
type Client struct {
	base *url.URL
	// bearer yields the key. It is a function because fmt prints what is in
	// unexported fields whatever methods their types have.
	bearer func() string
	http   *http.Client
	reason string
	tap    func([]byte)
}

var (
	_ gatehouse.Keys           = (*Client)(nil)
	_ gatehouse.ManagementKeys = (*Client)(nil)
	_ gatehouse.AuditLog       = (*Client)(nil)
	_ gatehouse.UsageReader    = (*Client)(nil)
	_ gatehouse.Teams          = (*Client)(nil)
	_ gatehouse.Upstreams      = (*Client)(nil)
	_ gatehouse.Catalogue      = (*Client)(nil)
	_ gatehouse.Prices         = (*Client)(nil)
	_ gatehouse.Fleet          = (*Client)(nil)
	_ gatehouse.Discovery      = (*Client)(nil)
	_ gatehouse.Members        = (*Client)(nil)
	_ gatehouse.SignIns        = (*Client)(nil)
	_ gatehouse.Money          = (*Client)(nil)
	_ gatehouse.Invoices       = (*Client)(nil)
	_ gatehouse.Treasury       = (*Client)(nil)
	_ gatehouse.Ledger         = (*Client)(nil)
	_ gatehouse.Collections    = (*Client)(nil)
	_ gatehouse.Documents      = (*Client)(nil)
)

// Option shapes a Client.
type Option func(*options)

type options struct {
	insecure bool
	tls      *tls.Config
	reason   string
	tap      func([]byte)
}

// InsecureHTTP allows http:// to hosts that are not loopback. The key then
// travels in the clear; it is for networks where something else encrypts.
func InsecureHTTP() Option { return func(o *options) { o.insecure = true } }

// TLS sets the client's side of TLS: private roots, a client certificate.
func TLS(c *tls.Config) Option { return func(o *options) { o.tls = c.Clone() } }

// Reason is sent with every call and stands in the audit log beside it.
func Reason(text string) Option { return func(o *options) { o.reason = text } }

// Tap hears the body of every successful answer, as it came. It sees secrets
// that the answer shows; it is how a command line prints the wire's object.
func Tap(f func(body []byte)) Option { return func(o *options) { o.tap = f } }

// Bounds of one connection. How long a call may take is its context's affair;
// these catch a peer that accepts and then says nothing.
const (
	dialTimeout   = 10 * time.Second
	headerTimeout = 90 * time.Second // propagation may wait for 60 s
	expectTimeout = 5 * time.Second  // for the word that a file may come; then it goes
)

// New makes a client of the management plane at baseURL. It connects to
// nothing. A zero key is allowed: the server refuses it, in the words that it
// has for any key that proves nothing.
func New(baseURL string, key gatehouse.Token, opts ...Option) (*Client, error) {
	var o options
	for _, set := range opts {
		set(&o)
	}
	base, err := parseBase(baseURL, o.insecure)
	if err != nil {
		return nil, err
	}
	return &Client{base: base, bearer: key.Reveal, reason: o.reason, tap: o.tap, http: o.http()}, nil
}

func (o *options) http() *http.Client {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:       o.tls,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: headerTimeout,
		ExpectContinueTimeout: expectTimeout,
		IdleConnTimeout:       headerTimeout,
		ForceAttemptHTTP2:     true,
	}
	// A redirect would carry the key to wherever the answer says.
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// parseBase checks where the key would be sent.
func parseBase(s string, insecure bool) (*url.URL, error) {
	bad := func(why string) (*url.URL, error) {
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "base URL: %s", why)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return bad("must be https://HOST[:PORT], or http:// on loopback")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return bad("must not hold a user, a query or a fragment")
	case u.Scheme == "http" && !insecure && !loopback(u.Hostname()):
		return bad("http:// beyond loopback would send the key in the clear")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// tokenTail is what follows the brand in every token: the plane's letter, "_",
// the public id, the secret and the checksum.
const tokenTail = 2 + 22 + 43 + 6

// ParseKey reads a key of any brand: which one an installation uses is its
// operator's choice, and stands at the front of the key.
func ParseKey(s string) (gatehouse.Token, error) {
	s = strings.TrimSpace(s)
	brand := ""
	if len(s) > tokenTail {
		brand = s[:len(s)-tokenTail]
	}
	return gatehouse.ParseToken(brand, s)
}
