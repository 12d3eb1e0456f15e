package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
)

// acceptPath is where the link of an invitation leads (control's Invite).
const acceptPath = "/accept"

// acceptPage accepts an invitation in a browser. The token is in the address's
// fragment, which no server sees; the page sends it to the route of
// AcceptInvitation, as any client does.
//
//go:embed accept.html
var acceptPage []byte

// acceptPolicy lets the page run its own script and speak to its own server.
var acceptPolicy = func() string {
	_, script, _ := bytes.Cut(acceptPage, []byte("<script>"))
	script, _, _ = bytes.Cut(script, []byte("</script>"))
	sum := sha256.Sum256(script)
	return "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// serveAccept answers GET and HEAD.
func serveAccept(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", acceptPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(acceptPage) // a client that has gone is no error of ours
}
