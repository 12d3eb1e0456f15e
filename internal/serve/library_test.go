package serve

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A kill between a form's first byte and its end leaves a file in the spool, and
// the next start removes it.
func TestAStartClearsTheSpool(t *testing.T) {
	r := run(t)
	left := filepath.Join(r.cfg.Data, spoolDir, formsDir, "upload-1")
	must(t, os.WriteFile(left, []byte("half"), 0o600))
	must(t, r.clearSpool())
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

// What needs a gateway is refused before the start, where there is none.
func TestModelsOfTheLibraryNeedAGateway(t *testing.T) {
	cfg := Defaults()
	cfg.Data, cfg.Role, cfg.Database = t.TempDir(), RoleControl, "postgres://gatehouse@127.0.0.1/gatehouse"
	cfg.Library.Blobs, cfg.Library.Embedding = "blobs", "text-embedding-3-small"
	if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), "library.gateway") {
		t.Errorf("%v", err)
	}
	if cfg.Library.Gateway = "https://gateway.example.com"; cfg.Check() != nil {
		t.Error(cfg.Check())
	}
}
