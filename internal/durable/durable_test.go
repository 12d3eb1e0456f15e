package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAReplacementIsWholeAndLeavesNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	// What a crash left, readable by others and longer than what comes.
	if err := os.WriteFile(path+Suffix, []byte("half of something longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"first", "2nd"} {
		if err := Replace(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("read %q: %v", got, err)
		}
		if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v", info.Mode())
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files, want the one", len(left))
	}
}

func TestAReplacementThatFailsKeepsTheOld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if _, err := os.Stat(filepath.Join(path, "inside")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path + Suffix); err == nil {
		t.Error("the replacement was left behind")
	}
}
