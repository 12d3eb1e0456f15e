package secret

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// State is what a generation is good for.
type State string

// The states.
const (
	Active   State = "active"   // written with
	Next     State = "next"     // accepted, not written with yet
	Previous State = "previous" // accepted, not written with any more
	Retired  State = "retired"  // not loaded
)

// Generation is one file of a secret.
type Generation struct {
	Name        string    `json:"name"` // pepper, mac, signing or page
	File        string    `json:"file"`
	State       State     `json:"state"`
	Fingerprint string    `json:"fingerprint"`
	Since       time.Time `json:"since"` // when the file was written: of an earlier generation, when it was replaced
}

// Status lists the files of every secret.
func Status(dir string) ([]Generation, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, unusable(err)
	}
	defer root.Close()
	var out []Generation
	for _, name := range RotationNames() {
		list, err := held(root, names[name])
		if err != nil {
			return nil, unusable(err)
		}
		gone, err := fs.Glob(root.FS(), names[name]+".*"+retiredSuffix)
		if err != nil {
			return nil, unusable(err)
		}
		for _, file := range append(list, gone...) {
			g, err := generation(root, name, file)
			if err != nil {
				return nil, unusable(fmt.Errorf("%s: %w", filepath.Join(dir, file), err))
			}
			out = append(out, g)
		}
	}
	return out, nil
}

func generation(root *os.Root, name, file string) (Generation, error) {
	g := Generation{Name: name, File: file, State: Previous}
	content, err := load(root, file)
	if err != nil {
		return g, err
	}
	info, err := root.Stat(file)
	if err != nil {
		return g, err
	}
	g.Fingerprint, g.Since = fingerprint(names[name], content), info.ModTime().UTC()
	switch {
	case file == names[name]:
		g.State = Active
	case strings.HasSuffix(file, nextSuffix):
		g.State = Next
	case strings.HasSuffix(file, retiredSuffix):
		g.State = Retired
	}
	return g, nil
}

// IsFile reports whether a name is of a file that this package keeps: any
// generation of a secret, or what a rotation leaves beside them.
func IsFile(name string) bool {
	if name == chainFile || name == anchorFile {
		return true
	}
	for _, file := range fileNames() {
		rest, found := strings.CutPrefix(name, file)
		if rest = strings.TrimSuffix(rest, retiredSuffix); found && (rest == "" || rest == nextSuffix) {
			return true
		}
		n, err := strconv.Atoi(strings.TrimPrefix(rest, "."))
		if found && err == nil && n > 0 && rest == "."+strconv.Itoa(n) {
			return true
		}
	}
	return false
}
