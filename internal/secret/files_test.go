package secret

import (
	"bytes"
	"encoding/base64"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gatehouse"
)

func create(t *testing.T) (*Keys, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secrets")
	k, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k, dir
}

func TestFirstStartMakesSecretsThatOnlyTheOwnerReads(t *testing.T) {
	k, dir := create(t)
	if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %v", info.Mode())
	}
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if info, _ := e.Info(); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	want := slices.Sorted(slices.Values(fileNames()))
	if !slices.Equal(names, want) {
		t.Errorf("files %v, want %v and nothing left over", names, want)
	}
	again, err := LoadOrCreate(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(k.Fingerprints(), again.Fingerprints()) || len(k.Fingerprints()) != len(want) {
		t.Error("a restart has other secrets")
	}
}

func TestTwoInstallationsShareNothing(t *testing.T) {
	a, _ := create(t)
	b, _ := create(t)
	for name, f := range a.Fingerprints() {
		if b.Fingerprints()[name] == f {
			t.Errorf("%s is the same", name)
		}
	}
	if bytes.Equal(a.Public(), b.Public()) {
		t.Error("the signing keys are the same")
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	_, dir := create(t)
	before, _ := os.ReadFile(filepath.Join(dir, masterFile))
	if _, err := Create(dir); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Fatalf("got %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, masterFile)); !bytes.Equal(before, after) {
		t.Error("it did")
	}
}

// A lost file must be said, not replaced: a new one would turn all that was
// sealed under the old into garbage.
func TestALostFileIsNotMadeAgain(t *testing.T) {
	for _, name := range fileNames() {
		_, dir := create(t)
		os.Remove(filepath.Join(dir, name))
		for _, load := range []func(string) (*Keys, error){Open, LoadOrCreate, Create} {
			if _, err := load(dir); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was made again", name)
		}
	}
}

func TestACrashInTheFirstStartIsFinished(t *testing.T) {
	for n := range len(fileNames()) + 1 {
		k, dir := create(t)
		for _, name := range fileNames()[n:] {
			os.Remove(filepath.Join(dir, name))
		}
		os.WriteFile(filepath.Join(dir, unfinished), nil, 0o600)
		os.WriteFile(filepath.Join(dir, macFile+".new"), []byte("half"), 0o600)
		again, err := LoadOrCreate(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range fileNames()[:n] {
			if again.Fingerprints()[name] != k.Fingerprints()[name] {
				t.Errorf("%s was replaced", name)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, unfinished)); err == nil {
			t.Error("the marker is still there")
		}
	}
}

func TestBadSecretsAreRefusedByNameWithTheFix(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	good := b64([]byte("0123456789abcdefghijklmnopqrstuv"))
	for _, c := range []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"empty", "", 0o600, "empty"},
		{"blank", " \n", 0o600, "empty"},
		{"short", b64([]byte("0123456789abcdefghijklmnopqrstu")), 0o600, "too short (31 bytes"},
		{"zeros", b64(make([]byte, 32)), 0o600, "predictable"},
		{"one byte", b64(bytes.Repeat([]byte("k"), 64)), 0o600, "predictable"},
		{"seven bytes", b64(bytes.Repeat([]byte("abcdefg"), 8)), 0o600, "predictable"},
		{"default", "changeme", 0o600, "too short"},
		{"text", "not base64 at all, but a passphrase", 0o600, "not base64"},
		{"two lines", good + "\n" + good, 0o600, "one line"},
		{"large", strings.Repeat("QUJD", 2000), 0o600, "too large"},
		{"group reads", good, 0o640, "chmod 600"},
		{"world reads", good, 0o604, "chmod 600"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, dir := create(t)
			path := filepath.Join(dir, macFile)
			os.WriteFile(path, []byte(c.content), 0o600)
			os.Chmod(path, c.mode)
			_, err := Open(dir)
			if gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
				t.Fatalf("got %v", err)
			}
			if s := err.Error(); !strings.Contains(s, path) || !strings.Contains(s, c.want) {
				t.Errorf("%q does not name %s and %q", s, path, c.want)
			}
			if secret := strings.TrimSpace(c.content); secret != "" && strings.Contains(err.Error(), secret) {
				t.Error("the error quotes the secret")
			}
			if strings.Contains(gatehouse.Public(err), dir) {
				t.Error("the public words hold a path")
			}
		})
	}
}

func TestADirectoryThatOthersWriteToIsRefused(t *testing.T) {
	_, dir := create(t)
	os.Chmod(dir, 0o770)
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("got %v", err)
	}
	if _, err := Open(filepath.Join(dir, "absent")); gatehouse.CodeOf(err) != gatehouse.FailedPrecondition {
		t.Errorf("absent: %v", err)
	}
}

func TestReadOnlySecretsLoad(t *testing.T) {
	_, dir := create(t)
	for _, name := range fileNames() {
		os.Chmod(filepath.Join(dir, name), 0o400)
	}
	os.Chmod(dir, 0o500)
	defer os.Chmod(dir, 0o700)
	if _, err := LoadOrCreate(dir); err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=\n"))
	f.Add([]byte("AAAA"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := parse(text)
		if err == nil && (len(b) < minSecret || distinct(b) < minDistinct) {
			t.Errorf("took %q", text)
		}
	})
}
