package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A password on the command line is everybody's on the machine: each command
// that takes a DSN takes it from a file, and says no when there are two.
func TestEveryDatabaseCanBeNamedByAFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dsn")
	if err := os.WriteFile(file, []byte("postgres://nobody:hush@127.0.0.1:1/none?connect_timeout=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"migrate", "--database-file", file, "--request-role", "r"},
		{"recover", "--database-file", file, "--secrets", dir},
		{"recover", "--database-file", file, "--secrets", dir, "--data", dir},
		{"journal", "ship", dir, "--data", dir, "--database-file", file},
	} {
		var out, stderr bytes.Buffer
		code := run(t.Context(), command, &out, &stderr, strings.NewReader(""))
		if code == 0 || code == exitUsage || strings.Contains(stderr.String(), "hush") {
			t.Errorf("%v: %d %s", command, code, &stderr)
		}
		code = run(t.Context(), append(command, "--database", "postgres://x@y/z"), &out, &stderr, strings.NewReader(""))
		if code != exitUsage {
			t.Errorf("%v and --database: %d", command, code)
		}
	}
}
