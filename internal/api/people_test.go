package api_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	"gatehouse/internal/api/apitest"
	v1 "gatehouse/internal/api/v1"
)

// Who shows no credential is limited by where they come from, and whoever has
// an IPv6 address has a whole /64 of them.
func TestStrangersAreLimitedByAddress(t *testing.T) {
	backend, _ := apitest.New()
	from := netip.MustParseAddr("192.0.2.1")
	now := apitest.Now
	h := admin.Handler(backend, api.Options{Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
		ClientIP: func(*http.Request) netip.Addr { return from }})
	ask := func(addr string) int {
		from = netip.MustParseAddr(addr)
		return serve(h, "GET", "/auth/sign-in", "").Code
	}
	var got []int
	for range 6 {
		got = append(got, ask("192.0.2.1"))
	}
	got = append(got, ask("192.0.2.2"))
	if want := []int{200, 200, 200, 200, 200, 429, 200}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	got = nil
	for _, addr := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5", "2001:db8::6", "2001:db8:0:1::1"} {
		got = append(got, ask(addr))
	}
	if want := []int{200, 200, 200, 200, 200, 429, 200}; !slices.Equal(got, want) {
		t.Errorf("IPv6: got %v, want %v", got, want)
	}
	now = now.Add(time.Second)
	if got := ask("192.0.2.1"); got != 200 {
		t.Errorf("after a second: %d", got)
	}
}

// An invitation's token opens its acceptance and nothing else, and nothing else
// opens that.
func TestAnInvitationsTokenOpensItsAcceptanceAlone(t *testing.T) {
	backend, words := apitest.NewV1()
	h := api.New(backend, api.Options{Logger: slog.New(slog.DiscardHandler)}, admin.Face(), v1.Face())
	invite := gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Invite, gatehouse.NewID()).Reveal()
	for _, target := range []string{"/v1/team/members", "/v1/team", "/admin/v1/orphans", "/admin/v1/management-keys"} {
		if w := serve(h, "GET", target, invite); w.Code != 401 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	for _, credential := range []string{"", words["full"], words["inference"], "x"} {
		if w := serve(h, "POST", "/v1/team/invitations/accept", credential); w.Code != 401 || !strings.Contains(w.Body.String(), "token of an invitation") {
			t.Errorf("accepted with %q: %d %s", credential, w.Code, w.Body)
		}
	}
}

// The page that a link leads to runs its own script and no other, and is framed
// by nobody.
func TestTheInvitationsPageRunsItsOwnScriptAlone(t *testing.T) {
	backend, _ := apitest.New()
	h := admin.Handler(backend, api.Options{Logger: slog.New(slog.DiscardHandler)})
	w := serve(h, "GET", "/accept", "")
	policy := w.Header().Get("Content-Security-Policy")
	if w.Code != 200 || !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "script-src 'sha256-") ||
		!strings.Contains(policy, "frame-ancestors 'none'") || w.Header().Get("Referrer-Policy") != "no-referrer" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if bytes.Count(w.Body.Bytes(), []byte("<script")) != 1 || bytes.Contains(w.Body.Bytes(), []byte("innerHTML")) {
		t.Error("the page does more than it says")
	}
	if w := serve(h, "POST", "/accept", ""); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}
