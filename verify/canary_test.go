package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// canary is the provider's credential in these tests.
const canary = "sk-canary-9d1b7c2e5f8a4036-Zq8Lw3Xv"

// busyDay does what leaves traces, good and bad, and returns every answer.
func (h *house) busyDay(said []byte) []byte {
	k := h.createKey(`"qpm":40`)
	mangled := k.Secret[:len(k.Secret)-1] + "!"
	for i := range 3 {
		for _, secret := range []string{k.Secret, h.key, mangled, k.Secret + "x", canary} {
			for _, body := range []string{hello, `{"model":"grok-4","messages":[{"role":"user","content":"[[sim: status=401]]"}]}`,
				`{"model":"grok-4","messages":[{"role":"user","content":"[[sim: garbage]] ` + fmt.Sprint(i) + `"}]}`,
				`{"model":"grok-4","model":"gpt-4o"}`, `not json`, `{"model":"no-such-model"}`} {
				_, answer := h.chat(secret, "canary", body)
				said = append(said, answer...)
			}
		}
	}
	for _, credential := range []string{h.key, k.Secret, mangled} {
		for _, path := range []string{"/auth/api-keys/" + k.ID, "/auth/teams/" + h.team + "/api-keys?pageSize=x", "/admin/v1/upstreams", "/auth/management-keys/validation", "/nowhere"} {
			req, _ := http.NewRequest("GET", h.management+path, nil)
			req.Header.Set("Authorization", "Bearer "+credential)
			_, answer := h.do(req)
			said = append(said, answer...)
		}
	}
	_, answer := h.manage("POST", "/auth/api-keys/"+k.ID+"/rotate", `{}`)
	h.secrets = append(h.secrets, k.Secret, string(between(answer, `"apiKey":"`, `"`)))
	said = append(said, h.Metrics()...)
	return said
}

func between(b []byte, start, end string) []byte {
	_, rest, _ := bytes.Cut(b, []byte(start))
	out, _, _ := bytes.Cut(rest, []byte(end))
	return out
}

// findNoSecrets looks in what was said and in every file of every data
// directory, the database's own included, but the secrets' own.
func (h *house) findNoSecrets(said []byte) {
	h.t.Helper()
	places := map[string][]byte{"answers, metrics and log": said}
	err := filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "secrets" {
			return skip(err)
		}
		if !d.IsDir() && d.Name() != "bootstrap.json" { // which is where the first key belongs
			places[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, secret := range append(h.secrets, h.key, canary) {
		if len(secret) < 20 {
			h.t.Fatalf("a secret of %d characters was recorded", len(secret))
		}
		for where, content := range places {
			for _, form := range forms(secret) {
				if bytes.Contains(content, []byte(form)) {
					h.t.Errorf("a secret is in %s as %.6s…", where, form)
				}
			}
		}
	}
}

func skip(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}

// forms are the ways in which a secret could be written down: whole, encoded,
// and any twelve characters of its secret part. The public id of a key and its
// last four characters are no secret.
func forms(secret string) []string {
	out := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))[:24], hex.EncodeToString([]byte(secret)), url.QueryEscape(secret)}
	private := secret
	if strings.HasPrefix(secret, "gth") {
		private = secret[27 : len(secret)-6]
	}
	for i := 0; i+12 <= len(private); i += 6 {
		out = append(out, private[i:i+12])
	}
	return out
}
