package webhook_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/reach"
	"gatehouse/internal/webhook"
)

var at = time.Unix(1_767_225_600, 0)

func TestADeliveryIsSigned(t *testing.T) {
	var got *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, body = r, nil
		body, _ = io.ReadAll(r.Body)
	}))
	defer srv.Close()
	s := webhook.Sender{AllowPrivate: true, Now: func() time.Time { return at }}
	hook := &gatehouse.AlertHook{URL: srv.URL, Secret: "hush"}
	if err := s.Deliver(t.Context(), hook, map[string]int{"share": 80}); err != nil {
		t.Fatal(err)
	}
	if want := webhook.Sign("hush", at, []byte(`{"share":80}`)); got.Header.Get(webhook.Header) != want || string(body) != `{"share":80}` {
		t.Errorf("%q %s, want %q", got.Header.Get(webhook.Header), body, want)
	}
	// A vector that a receiver can test itself against.
	if got, want := webhook.Sign("hush", at, []byte(`{"share":80}`)), "t=1767225600,v1="; !strings.HasPrefix(got, want) || len(got) != len(want)+64 {
		t.Error(got)
	}
}

func TestHooksDoNotLeadInside(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer srv.Close()
	err := webhook.Sender{}.Deliver(t.Context(), &gatehouse.AlertHook{URL: srv.URL + "/?token=canary", Secret: "x"}, 1)
	if !errors.Is(err, reach.ErrForbidden) || strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
	bounce := httptest.NewServer(http.RedirectHandler(srv.URL, http.StatusTemporaryRedirect))
	defer bounce.Close()
	if err := (webhook.Sender{AllowPrivate: true}).Deliver(t.Context(), &gatehouse.AlertHook{URL: bounce.URL, Secret: "x"}, 1); err == nil {
		t.Error("a redirect was followed, or taken for an acknowledgement")
	}
}
