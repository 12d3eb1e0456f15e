package town

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"

	"gatehouse"
)

// leaks looks for whole tokens, and for the provider's credential, in whatever a
// town has left: every file of its directory, PostgreSQL's own included, and every
// process's log. Every test that starts a town ends with this search.
func (w *Town) leaks() {
	w.T.Helper()
	err := filepath.WalkDir(w.Dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && belongs[d.Name()]:
			return fs.SkipDir
		case !d.Type().IsRegular() || belongs[d.Name()]:
			return nil
		}
		content, err := os.ReadFile(path)
		w.leak(path, content)
		return err
	})
	if err != nil {
		w.T.Error(err)
	}
	for _, p := range append(append([]*Process{}, w.Gateways...), w.Controls...) {
		w.leak("the log of "+p.Name, []byte(p.Log()))
	}
}

// belongs are the places where secrets are kept, and nothing else is: the first
// management key, and what a gateway shows to control.
var belongs = map[string]bool{"secrets": true, "bootstrap.json": true, "fleet.json": true}

func (w *Town) leak(where string, content []byte) {
	w.T.Helper()
	if what := secretIn(content, w.plan.Provider.Key); what != "" {
		w.T.Errorf("%s is in %s", what, where)
	}
}

// secretIn names the first secret in content, without its secret part.
func secretIn(content []byte, credential string) string {
	if credential != "" && bytes.Contains(content, []byte(credential)) {
		return "the provider's credential"
	}
	for {
		i := bytes.Index(content, []byte(gatehouse.DefaultBrand))
		if i < 0 {
			return ""
		}
		content = content[i:]
		if text := content[:min(len(content), tokenLen)]; isToken(text) {
			return "the token " + string(text[:len(gatehouse.DefaultBrand)+2]) + "…"
		}
		content = content[1:]
	}
}

// tokenLen is the length of a whole token: prefix, id, secret and checksum.
var tokenLen = len(gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, gatehouse.NewID()).Reveal())

func isToken(text []byte) bool {
	_, err := gatehouse.ParseToken(gatehouse.DefaultBrand, string(text))
	return err == nil
}
