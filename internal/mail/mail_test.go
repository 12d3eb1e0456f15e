package mail_test

import (
	"context"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/mail"
	"gatehouse/internal/mail/mailtest"
)

// What goes in comes out at a server, in any script, and a header cannot be
// smuggled in by a subject.
func TestALetterArrivesAsItWasWritten(t *testing.T) {
	server := mailtest.Serve(t)
	s, err := mail.New(mail.Config{Server: server.Addr, From: "Gatehouse <gatehouse@example.com>", Security: mail.None})
	if err != nil {
		t.Fatal(err)
	}
	text := "Grüße,\n\nhttps://gatehouse.example.com/accept#" + strings.Repeat("x", 120) + "\n.\nnot the end\n"
	if err := s.Send(t.Context(), "ada@example.com", "Invitation to Zürich\r\nBcc: eve@example.com", text); err != nil {
		t.Fatal(err)
	}
	m, err := netmail.ReadMessage(strings.NewReader(server.Letters()[0].Text))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || !strings.HasPrefix(subject, "Invitation to Zürich") || m.Header.Get("Bcc") != "" || server.Letters()[0].To != "ada@example.com" {
		t.Errorf("%q %v %v, %v", subject, m.Header, server.Letters()[0].To, err)
	}
	if got := decoded(t, m); got != strings.ReplaceAll(text, "\n", "\r\n") {
		t.Errorf("got %q", got)
	}
}

// A server that refuses, that offers no TLS where it is demanded, or that says
// nothing is an error, and in time.
func TestALetterThatIsNotTakenIsAnError(t *testing.T) {
	addr := mailtest.Serve(t).Addr
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, c := range map[string]struct{ server, security, to string }{
		"refused": {addr, mail.None, "nobody@example.com"}, "no TLS": {addr, mail.StartTLS, "ada@example.com"},
		"silent": {silent.Addr().String(), mail.None, "ada@example.com"}, "nobody there": {"127.0.0.1:1", mail.None, "ada@example.com"},
	} {
		s, err := mail.New(mail.Config{Server: c.server, From: "g@example.com", Security: c.security})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := s.Send(ctx, c.to, "x", "y"); err == nil {
			t.Errorf("%s: sent", name)
		}
		cancel()
	}
	for _, c := range []mail.Config{{Server: "x", From: "g@example.com"}, {Server: "x:25", From: "g"}, {Server: "x:25", From: "g@example.com", Security: "some"}} {
		if _, err := mail.New(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func decoded(t *testing.T, m *netmail.Message) string {
	t.Helper()
	if m.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
		t.Fatalf("encoding %q", m.Header.Get("Content-Transfer-Encoding"))
	}
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
