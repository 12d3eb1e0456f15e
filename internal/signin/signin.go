// Package signin asks an OpenID Connect provider who people are, and whether
// they are still there. It is a driver; what a person may do follows from their
// groups and is decided in control.
package signin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"gatehouse"
)

// Config names the provider and what is ours there.
type Config struct {
	Issuer   string // its metadata is at Issuer/.well-known/openid-configuration
	ClientID string // a public client: code with PKCE, and the device flow
	Audience string // of ID tokens; ClientID unless said
	Groups   string // the claim that lists a person's groups; "groups" unless said
	Scopes   []string
	Now      func() time.Time // nil: time.Now
	Client   *http.Client     // nil: one that gives up after ten seconds
}

// DefaultScopes ask for who the person is, and for a refresh token that outlives
// their session in the browser.
var DefaultScopes = []string{oidc.ScopeOpenID, "email", "profile", oidc.ScopeOfflineAccess}

// Provider is one identity provider. Its metadata is fetched when it is first
// needed: a provider that is away keeps nobody from starting. It is safe for
// concurrent use.
type Provider struct {
	Config
	mu    sync.Mutex
	found *oidc.Provider
}

// New makes a Provider. It connects to nothing.
func New(c Config) *Provider {
	if c.Audience == "" {
		c.Audience = c.ClientID
	}
	if c.Groups == "" {
		c.Groups = "groups"
	}
	if len(c.Scopes) == 0 {
		c.Scopes = DefaultScopes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Client == nil {
		c.Client = &http.Client{Timeout: 10 * time.Second, Transport: &calm{next: http.DefaultTransport, now: c.Now, kept: map[string]answer{}}}
	}
	return &Provider{Config: c}
}

// Method tells clients how to sign in.
func (p *Provider) Method() gatehouse.SignInMethod {
	return gatehouse.SignInMethod{Issuer: p.Issuer, ClientID: p.ClientID, Scopes: p.Scopes}
}

// provider is the metadata, fetched once.
func (p *Provider) provider(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	// Its key set goes on using the context for the client that is in it.
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.Client), p.Issuer)
	if err != nil {
		return nil, unreachable(err)
	}
	p.found = found
	return found, nil
}

func unreachable(err error) error {
	return gatehouse.Errorf(gatehouse.Unavailable, "the identity provider cannot be asked now").After(5 * time.Second).Because(err)
}

// maxIDToken is far beyond what fits in a request header.
const maxIDToken = 64 << 10

// Verify judges an ID token: signed by the provider with an asymmetric
// algorithm, for this client, in its time, and with the nonce if one was sent.
func (p *Provider) Verify(ctx context.Context, idToken, nonce string) (gatehouse.Identity, error) {
	// The compact form alone: the library reads JSON too, where a token has many
	// spellings.
	if len(idToken) > maxIDToken || strings.Count(idToken, ".") != 2 || strings.ContainsAny(idToken, "{ \r\n\t") {
		return gatehouse.Identity{}, refused("it is no JWT", nil)
	}
	provider, err := p.provider(ctx)
	if err != nil {
		return gatehouse.Identity{}, err
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: p.Audience, Now: p.Now}).Verify(oidc.ClientContext(ctx, p.Client), idToken)
	if err != nil {
		return gatehouse.Identity{}, why(err)
	}
	if nonce != "" && token.Nonce != nonce {
		return gatehouse.Identity{}, refused("its nonce is not the one that was sent", nil)
	}
	return p.identity(token)
}

// why tells what was wrong with a token in words of ours: the library's quote
// from it.
func why(err error) error {
	var expired *oidc.TokenExpiredError
	switch text := err.Error(); {
	case strings.Contains(text, "fetching keys"):
		return unreachable(err)
	case errors.As(err, &expired):
		return refused("it has expired", err)
	case strings.Contains(text, "different provider"):
		return refused("it is of another issuer", err)
	case strings.Contains(text, "expected audience"):
		return refused("it is for another audience", err)
	case strings.Contains(text, "signature"), strings.Contains(text, "malformed jwt"), strings.Contains(text, "not signed"):
		return refused("it is not signed by the identity provider", err)
	}
	return refused("it cannot be read", err)
}

func refused(what string, err error) error {
	e := gatehouse.Errorf(gatehouse.Unauthenticated, "the ID token is refused: %s", what)
	if err != nil {
		e = e.Because(err)
	}
	return e
}

// claims are what is read of an ID token.
type claims struct {
	AuthorizedParty string   `json:"azp"`
	Email           string   `json:"email"`
	Verified        truth    `json:"email_verified"`
	GivenName       string   `json:"given_name"`
	FamilyName      string   `json:"family_name"`
	Subject         string   `json:"sub"`
	Audience        audience `json:"aud"`
}

// identity reads a verified token.
func (p *Provider) identity(token *oidc.IDToken) (gatehouse.Identity, error) {
	var c claims
	var raw json.RawMessage
	all := map[string]json.RawMessage{}
	if err := errors.Join(token.Claims(&c), token.Claims(&raw), token.Claims(&all)); err != nil {
		return gatehouse.Identity{}, refused("its claims cannot be read", err)
	}
	if c.AuthorizedParty != "" && c.AuthorizedParty != p.ClientID || c.AuthorizedParty == "" && len(c.Audience) > 1 {
		return gatehouse.Identity{}, refused("it was issued to another client", nil)
	}
	if c.Subject == "" || len(c.Subject) > 255 { // OpenID Connect Core, section 2
		return gatehouse.Identity{}, refused("it names nobody", nil)
	}
	who := gatehouse.Identity{
		Token: gatehouse.DigestOf(string(raw)), Subject: token.Issuer + " " + c.Subject, GivenName: c.GivenName, FamilyName: c.FamilyName,
		Groups: groups(all[p.Groups]), Expire: token.Expiry,
	}
	if bool(c.Verified) {
		who.Email = c.Email
	}
	return who, nil
}

// Refresh spends a refresh token for the next one. Only the provider's word
// invalid_grant says that the person is gone (RFC 6749, section 5.2).
func (p *Provider) Refresh(ctx context.Context, refresh string) (next string, gone bool, err error) {
	provider, err := p.provider(ctx)
	if err != nil {
		return "", false, err
	}
	conf := oauth2.Config{ClientID: p.ClientID, Endpoint: provider.Endpoint()}
	conf.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	got, err := conf.TokenSource(oidc.ClientContext(ctx, p.Client), &oauth2.Token{RefreshToken: refresh}).Token()
	var said *oauth2.RetrieveError
	if errors.As(err, &said) && said.ErrorCode == "invalid_grant" {
		return "", true, nil
	}
	if err != nil {
		return "", false, unreachable(hushed(said, err))
	}
	return got.RefreshToken, false, nil
}

// hushed is an error without the provider's body, which may repeat the token.
func hushed(said *oauth2.RetrieveError, err error) error {
	if said == nil {
		return err
	}
	return errors.New("token endpoint: " + said.Response.Status + " " + said.ErrorCode)
}

// groups reads a list of names, or one.
func groups(raw json.RawMessage) []string {
	var many []string
	if json.Unmarshal(raw, &many) == nil {
		return slices.DeleteFunc(many, func(s string) bool { return s == "" })
	}
	var one string
	if json.Unmarshal(raw, &one) == nil && one != "" {
		return []string{one}
	}
	return nil
}

// truth is a boolean that some providers write as a string.
type truth bool

// UnmarshalJSON reads true and "true"; all else is false.
func (t *truth) UnmarshalJSON(b []byte) error {
	*t = string(b) == "true" || string(b) == `"true"`
	return nil
}

// audience is one name or several.
type audience []string

// UnmarshalJSON reads either form.
func (a *audience) UnmarshalJSON(b []byte) error {
	*a = groups(b)
	return nil
}
