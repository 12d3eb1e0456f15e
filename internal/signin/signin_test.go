package signin_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"gatehouse"
	"gatehouse/internal/signin"
)

// idp is a provider with one key, whose token endpoint says what a test tells it.
type idp struct {
	*httptest.Server
	key    *ecdsa.PrivateKey
	answer string
	status int
	asked  string
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	inner := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "k", Algorithm: "ES256"}}, Algorithms: []string{"ES256"}}
	p := &idp{key: key}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			text, _ := io.ReadAll(r.Body)
			p.asked = string(text)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(p.status)
			io.WriteString(w, p.answer)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	inner.SetIssuer(p.URL)
	return p
}

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func (p *idp) provider() *signin.Provider {
	return signin.New(signin.Config{Issuer: p.URL, ClientID: "gatehouse", Now: func() time.Time { return now }})
}

// claims are those of a good token, with some replaced; nil takes one away.
func (p *idp) claims(change map[string]any) string {
	all := map[string]any{
		"iss": p.URL, "sub": "u-1", "aud": "gatehouse", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nonce": "n",
		"email": "ada@example.com", "email_verified": true, "given_name": "Ada", "groups": []string{"staff", "ops"},
	}
	maps.Copy(all, change)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	text, _ := json.Marshal(all)
	return string(text)
}

func (p *idp) token(change map[string]any) string { return sign(p.key, p.claims(change)) }

func sign(key crypto.PrivateKey, claims string) string {
	return oidctest.SignIDToken(key, "k", "ES256", claims)
}

// What a token says is believed when it is for us, in time and signed by the
// provider; and of an address, only when the provider has verified it.
func TestAGoodTokenNamesAPerson(t *testing.T) {
	p := newIDP(t)
	who, err := p.provider().Verify(t.Context(), p.token(nil), "n")
	if err != nil {
		t.Fatal(err)
	}
	if who.Subject != p.URL+" u-1" || who.Email != "ada@example.com" || who.GivenName != "Ada" || !slices.Equal(who.Groups, []string{"staff", "ops"}) || !who.Expire.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v", who)
	}
	for name, c := range map[string]struct {
		change map[string]any
		is     func(gatehouse.Identity) bool
	}{
		"unverified": {map[string]any{"email_verified": false}, func(w gatehouse.Identity) bool { return w.Email == "" }},
		"unsaid":     {map[string]any{"email_verified": nil}, func(w gatehouse.Identity) bool { return w.Email == "" }},
		"as text":    {map[string]any{"email_verified": "true"}, func(w gatehouse.Identity) bool { return w.Email != "" }},
		"one group":  {map[string]any{"groups": "staff"}, func(w gatehouse.Identity) bool { return len(w.Groups) == 1 }},
		"no groups":  {map[string]any{"groups": 7}, func(w gatehouse.Identity) bool { return len(w.Groups) == 0 }},
		"several":    {map[string]any{"aud": []string{"x", "gatehouse"}, "azp": "gatehouse"}, func(w gatehouse.Identity) bool { return true }},
	} {
		who, err := p.provider().Verify(t.Context(), p.token(c.change), "")
		if err != nil || !c.is(who) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
}

// The ways in which a token can be somebody else's work or meant for somebody
// else. None gets in, and each says why.
func TestABadTokenIsRefusedAndSaysWhy(t *testing.T) {
	p := newIDP(t)
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	parts := strings.Split(p.token(nil), ".")
	plain := func(header string) string { return base64.RawURLEncoding.EncodeToString([]byte(header)) }
	for name, c := range map[string]struct{ token, nonce, says string }{
		"other audience":  {p.token(map[string]any{"aud": "somebody"}), "", "another audience"},
		"other party":     {p.token(map[string]any{"azp": "somebody"}), "", "another client"},
		"many audiences":  {p.token(map[string]any{"aud": []string{"gatehouse", "x"}}), "", "another client"},
		"other issuer":    {p.token(map[string]any{"iss": "https://idp.example.com"}), "", "another issuer"},
		"expired":         {p.token(map[string]any{"exp": now.Add(-time.Second).Unix()}), "", "expired"},
		"no expiry":       {p.token(map[string]any{"exp": nil}), "", "expired"},
		"wrong nonce":     {p.token(nil), "m", "nonce"},
		"no nonce":        {p.token(map[string]any{"nonce": nil}), "n", "nonce"},
		"nobody":          {p.token(map[string]any{"sub": ""}), "", "names nobody"},
		"another's key":   {sign(other, p.claims(nil)), "", "not signed"},
		"unsigned":        {parts[0] + "." + parts[1] + ".", "", "not signed"},
		"alg none":        {plain(`{"alg":"none"}`) + "." + parts[1] + ".", "", "not signed"},
		"alg none signed": {plain(`{"alg":"none"}`) + "." + parts[1] + "." + parts[2], "", "not signed"},
		"symmetric":       {plain(`{"alg":"HS256"}`) + "." + parts[1] + "." + parts[2], "", "not signed"},
		"changed":         {parts[0] + "." + plain(p.claims(map[string]any{"sub": "u-2"})) + "." + parts[2], "", "not signed"},
		"JSON form":       {fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q,"x":".."}`, parts[0], parts[1], parts[2]), "", "no JWT"},
		"empty":           {"", "", "no JWT"},
		"long":            {strings.Repeat("a", 70_000) + "..", "", "no JWT"},
	} {
		_, err := p.provider().Verify(t.Context(), c.token, c.nonce)
		if gatehouse.CodeOf(err) != gatehouse.Unauthenticated || !strings.Contains(gatehouse.Public(err), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token is good once, so it must be known again however it is spelled: an
// ECDSA signature is random, and has a twin.
func TestATokenIsKnownAgainInAnotherSpelling(t *testing.T) {
	p := newIDP(t)
	claims := p.claims(nil)
	a, err := p.provider().Verify(t.Context(), sign(p.key, claims), "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.provider().Verify(t.Context(), sign(p.key, claims), "") // another random signature
	if err != nil || a.Token != b.Token || a.Token == (gatehouse.Digest{}) {
		t.Errorf("%v %v %v", a.Token, b.Token, err)
	}
}

// A provider that is away has said nothing about anybody, and is asked again.
func TestAProviderThatIsAwaySaysNothing(t *testing.T) {
	p := newIDP(t)
	away := signin.New(signin.Config{Issuer: "http://127.0.0.1:1", ClientID: "gatehouse"})
	if _, err := away.Verify(t.Context(), p.token(nil), ""); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Errorf("verify: %v", err)
	}
	if _, gone, err := away.Refresh(t.Context(), "r"); gone || gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Errorf("refresh: %v %v", gone, err)
	}
}

// Only invalid_grant is a no.
func TestOnlyInvalidGrantIsANo(t *testing.T) {
	p := newIDP(t)
	for _, c := range []struct {
		status     int
		answer     string
		next       string
		gone, fail bool
	}{
		{200, `{"access_token":"a","token_type":"Bearer","refresh_token":"r-2"}`, "r-2", false, false},
		{200, `{"access_token":"a","token_type":"Bearer"}`, "r-1", false, false},
		{400, `{"error":"invalid_grant"}`, "", true, false},
		{400, `{"error":"invalid_request"}`, "", false, true},
		{401, `{"error":"invalid_client"}`, "", false, true},
		{403, `r-1 is not welcome`, "", false, true},
		{500, `{}`, "", false, true},
		{429, ``, "", false, true},
	} {
		p.status, p.answer = c.status, c.answer
		next, gone, err := p.provider().Refresh(context.Background(), "r-1")
		if next != c.next || gone != c.gone || (err != nil) != c.fail {
			t.Errorf("%d %s: %q %v %v", c.status, c.answer, next, gone, err)
		}
		if err != nil && strings.Contains(err.Error(), "r-1") {
			t.Errorf("the token is in the error: %v", err)
		}
		if !strings.Contains(p.asked, "client_id=gatehouse") || !strings.Contains(p.asked, "refresh_token=r-1") {
			t.Errorf("asked %s", p.asked)
		}
	}
}
