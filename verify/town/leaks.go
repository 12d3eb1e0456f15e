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
	if key := w.plan.Provider.Key; key != "" && bytes.Contains(content, []byte(key)) {
		w.T.Errorf("the provider's credential is in %s", where)
	}
	for rest := content; ; {
		i := bytes.Index(rest, []byte(gatehouse.DefaultBrand))
		if i < 0 {
			return
		}
		rest = rest[i:]
		if text := rest[:min(len(rest), tokenLen)]; token(text) {
			w.T.Errorf("the token %.5s… is in %s", text, where)
		}
		rest = rest[1:]
	}
}

// tokenLen is the length of a whole token: prefix, id, secret and checksum.
var tokenLen = len(gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Inference, gatehouse.NewID()).Reveal())

func token(text []byte) bool {
	_, err := gatehouse.ParseToken(gatehouse.DefaultBrand, string(text))
	return err == nil
}
