package dir_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gatehouse"
	"gatehouse/internal/library/blob"
	"gatehouse/internal/library/blob/blobtest"
	"gatehouse/internal/library/blob/dir"
)

func TestADirectoryKeepsTheContract(t *testing.T) {
	blobtest.Run(t, func(t testing.TB) blob.Store { return open(t, filepath.Join(t.TempDir(), "blobs")) })
}

func open(t testing.TB, at string) *dir.Store {
	t.Helper()
	s, err := dir.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s *dir.Store, name, content string) error {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, content); err != nil {
		t.Fatal(err)
	}
	return s.Put(t.Context(), name, f, int64(len(content)))
}

func TestBlobsAreForTheProcessAlone(t *testing.T) {
	at := filepath.Join(t.TempDir(), "blobs")
	if err := put(t, open(t, at), "abc", "x"); err != nil {
		t.Fatal(err)
	}
	seen := 0
	filepath.WalkDir(at, func(path string, d fs.DirEntry, _ error) error {
		seen++
		if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
		return nil
	})
	if seen != 4 { // the directory, what is pending, ab, abc
		t.Errorf("%d files", seen)
	}
}

func TestABlobOutlivesItsProcess(t *testing.T) {
	at := t.TempDir()
	if err := put(t, open(t, at), "abc", "x"); err != nil {
		t.Fatal(err)
	}
	r, err := open(t, at).Open(t.Context(), "abc", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); string(b) != "x" || err != nil {
		t.Errorf("%q %v", b, err)
	}
}

func TestWhatACrashLeftIsRemovedAndWhatIsBeingWrittenStays(t *testing.T) {
	at := t.TempDir()
	open(t, at)
	left, busy := filepath.Join(at, ".new", "left"), filepath.Join(at, ".new", "busy")
	for _, path := range []string{left, busy} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(busy)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	open(t, at)
	if _, err := os.Stat(left); err == nil {
		t.Error("what a crash left is there")
	}
	if _, err := os.Stat(busy); err != nil {
		t.Errorf("what somebody writes: %v", err)
	}
}

func TestNothingLeadsOut(t *testing.T) {
	out, at := t.TempDir(), t.TempDir()
	s := open(t, at)
	secret := filepath.Join(out, "abc")
	for _, err := range []error{
		os.WriteFile(secret, []byte("secret"), 0o600),
		os.Symlink(out, filepath.Join(at, "ab")), // where abc would be
		os.Mkdir(filepath.Join(at, "xy"), 0o700),
		os.Symlink(secret, filepath.Join(at, "xy", "xyz")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"abc", "xyz"} {
		if r, err := s.Open(t.Context(), name, 0); gatehouse.CodeOf(err) != gatehouse.Unavailable {
			t.Errorf("open %s: %v %v", name, r, err)
		} else if strings.Contains(gatehouse.Public(err), "/") {
			t.Errorf("the path is public: %s", gatehouse.Public(err))
		}
	}
	if err := put(t, s, "abd", "x"); err == nil {
		t.Error("written through a link")
	}
	_ = s.Delete(t.Context(), "abc")
	_ = s.Delete(t.Context(), "xyz")
	if err := s.List(t.Context(), func(name string) error { t.Errorf("listed: %s", name); return nil }); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(secret); string(b) != "secret" || err != nil {
		t.Errorf("outside: %q %v", b, err)
	}
	if files, _ := os.ReadDir(out); len(files) != 1 {
		t.Errorf("outside: %v", files)
	}
}

func TestADirectoryOfTemporariesThatLeadsOutIsRefused(t *testing.T) {
	out, at := t.TempDir(), t.TempDir()
	kept := filepath.Join(out, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(out, filepath.Join(at, ".new")); err != nil {
		t.Fatal(err)
	}
	if s, err := dir.Open(at); err == nil {
		s.Close()
		t.Error("opened")
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

// A pipe would keep whoever opens it waiting for ever.
func TestWhatIsNoFileIsNotOpened(t *testing.T) {
	at := t.TempDir()
	s := open(t, at)
	if err := os.Mkdir(filepath.Join(at, "ab"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(at, "ab", "abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "abc", 0); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Error(err)
	}
}

// A volume that is gone is no reason to think that its blobs never were.
func TestADirectoryThatIsGoneCannotTell(t *testing.T) {
	at := filepath.Join(t.TempDir(), "blobs")
	s := open(t, at)
	if err := os.RemoveAll(at); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "abc", 0); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Error(err)
	}
	if err := put(t, s, "abc", "x"); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Error(err)
	}
	if err := s.Check(t.Context()); gatehouse.CodeOf(err) != gatehouse.Unavailable {
		t.Error(err)
	}
}
