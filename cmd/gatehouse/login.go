package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"gatehouse"
)

type loginCmd struct {
	remote
	Device bool         `help:"Sign in on another device, by a code."`
	Team   gatehouse.ID `help:"Team, for who has a role in several." placeholder:"ID"`
}

// personTime is what a person may take to sign in.
const personTime = 10 * time.Minute

// Run signs in. It opens nothing by itself: which browser, and as whom, is the
// person's choice.
func (c *loginCmd) Run(e *env) error {
	return c.with(e, gatehouse.Token{}, personTime, func(s *session) error {
		method, err := s.SignInMethod(s)
		if err != nil {
			return err
		}
		conf, err := clientOf(s, method)
		if err != nil {
			return err
		}
		proof := byBrowser
		if c.Device {
			proof = byDevice
		}
		in, err := proof(s, conf, method.Issuer)
		if err != nil {
			return err
		}
		in.TeamID = c.Team
		m, err := s.SignIn(s, in)
		if err != nil {
			return err
		}
		return c.keep(s, m)
	})
}

// keep writes the key down, and tells.
func (c *loginCmd) keep(s *session, m gatehouse.MintedManagementKey) error {
	all, err := readLogins()
	if err != nil {
		return err
	}
	all[c.URL] = login{m.Token.Reveal(), m.Key.ExpireTime}
	if err := all.write(time.Now()); err != nil {
		return err
	}
	return s.show(func(w io.Writer) {
		fmt.Fprintf(w, "signed in to team %s at %s until %s\n", m.Key.TeamID, c.URL, clock(m.Key.ExpireTime, "for ever"))
	})
}

// clientOf is what the provider says about itself, for this public client.
func clientOf(ctx context.Context, m gatehouse.SignInMethod) (*oauth2.Config, error) {
	u, err := url.Parse(m.Issuer)
	if err != nil || u.Scheme != "https" && !local(u.Hostname()) {
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "the identity provider %s is not at an https address", line(m.Issuer))
	}
	p, err := oidc.NewProvider(ctx, m.Issuer)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Unavailable, "cannot reach the identity provider %s", line(m.Issuer)).Because(err)
	}
	conf := &oauth2.Config{ClientID: m.ClientID, Endpoint: p.Endpoint(), Scopes: m.Scopes}
	conf.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	return conf, nil
}

func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// byBrowser is the authorization code flow with PKCE, answered on loopback
// (RFC 8252). The state ties the answer to this run, the nonce the ID token.
func byBrowser(s *session, conf *oauth2.Config, issuer string) (in gatehouse.SignIn, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return in, err
	}
	conf.RedirectURL = "http://" + listener.Addr().String() + "/callback"
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	in.Nonce = rand.Text()
	opts := []oauth2.AuthCodeOption{oidc.Nonce(in.Nonce), oauth2.S256ChallengeOption(verifier)}
	if slices.Contains(conf.Scopes, oidc.ScopeOfflineAccess) {
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "consent")) // OpenID Connect Core, section 11
	}
	fmt.Fprintf(s.e.err, "Open this address in a browser on this machine:\n\n    %s\n\n", conf.AuthCodeURL(state, opts...))
	code, err := callback(s, listener, state, issuer)
	if err != nil {
		return in, err
	}
	return proven(in)(conf.Exchange(s, code, oauth2.VerifierOption(verifier)))
}

// callback waits for the browser to come back with a code.
func callback(ctx context.Context, listener net.Listener, state, issuer string) (string, error) {
	type answer struct {
		code string
		err  error
	}
	answers := make(chan answer, 1)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.Method != http.MethodGet || r.URL.Path != "/callback" || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
			http.NotFound(w, r) // not the answer to what this run asked
			return
		}
		out := answer{code: q.Get("code")}
		if said := q.Get("error"); said != "" || out.code == "" {
			out.err = gatehouse.Errorf(gatehouse.PermissionDenied, "the identity provider says %s: %s", line(said), line(q.Get("error_description")))
		}
		if iss := q.Get("iss"); iss != "" && iss != issuer { // RFC 9207
			out.err = gatehouse.Errorf(gatehouse.PermissionDenied, "the answer is of another identity provider")
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "You can close this page and go back to the command line.")
		select {
		case answers <- out:
		default:
		}
	})}
	go server.Serve(listener)
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(stop) // the page is the last that anybody waits for
	}()
	select {
	case a := <-answers:
		return a.code, a.err
	case <-ctx.Done():
		return "", gatehouse.Errorf(gatehouse.DeadlineExceeded, "nobody signed in").Because(ctx.Err())
	}
}

// byDevice is the device flow (RFC 8628): the person types a code elsewhere.
func byDevice(s *session, conf *oauth2.Config, _ string) (in gatehouse.SignIn, err error) {
	if conf.Endpoint.DeviceAuthURL == "" {
		return in, gatehouse.Errorf(gatehouse.FailedPrecondition, "the identity provider has no device flow: sign in without --device")
	}
	d, err := conf.DeviceAuth(s)
	if err != nil {
		return in, gatehouse.Errorf(gatehouse.PermissionDenied, "the identity provider gives no code for a device").Because(err)
	}
	fmt.Fprintf(s.e.err, "Open this address on any device and enter the code %s:\n\n    %s\n\n", line(d.UserCode), line(d.VerificationURI))
	return proven(in)(conf.DeviceAccessToken(s, d))
}

// proven is what a flow ends with.
func proven(in gatehouse.SignIn) func(*oauth2.Token, error) (gatehouse.SignIn, error) {
	return func(t *oauth2.Token, err error) (gatehouse.SignIn, error) {
		if err != nil {
			return in, gatehouse.Errorf(gatehouse.PermissionDenied, "the identity provider gave no token").Because(err)
		}
		in.IDToken, _ = t.Extra("id_token").(string)
		in.RefreshToken = t.RefreshToken
		if in.IDToken == "" {
			return in, gatehouse.Errorf(gatehouse.FailedPrecondition, "the identity provider gave no ID token: the scope openid is missing")
		}
		return in, nil
	}
}
