package secret

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gatehouse"
)

// The files. Their names are part of the fingerprints.
const (
	masterFile  = "master.key"
	macFile     = "mac.key"
	signingFile = "signing.key"
	pageFile    = "page.key"

	// unfinished is there while the files are being made. A crash in that
	// moment leaves some of them, which nobody has used: it tells this from the
	// loss of a file that everything depends on.
	unfinished = "unfinished"
)

const (
	minSecret   = 32      // bytes
	minDistinct = 8       // different bytes among them; random ones have about 30
	maxFile     = 4 << 10 // bytes; a larger file is not a secret
)

func fileNames() []string { return []string{masterFile, macFile, signingFile, pageFile} }

// Open loads the secrets of dir. It fails when one is missing, short,
// predictable or readable by others, and says which file and what to do.
func Open(dir string) (*Keys, error) {
	r, err := read(dir)
	if err != nil {
		return nil, unusable(err)
	}
	k := &Keys{dir: dir}
	k.ring.Store(r)
	return k, nil
}

// Reload reads the directory again and, when what is there is sound, uses that
// from now on; changed says whether it differs. Before it does, while what is in
// use still is, it calls before with the chain of signing keys: the log must
// know a key before anything is signed with it. On an error everything stays as
// it was: a rotation that went wrong must not stop who is serving.
func (k *Keys) Reload(before func(chain []gatehouse.Succession) error) (changed bool, err error) {
	r, err := read(k.dir)
	if err != nil {
		return false, unusable(err)
	}
	if r.same(k.ring.Load()) {
		return false, nil
	}
	if before != nil {
		if err := before(r.chain); err != nil {
			return false, err
		}
	}
	k.ring.Store(r)
	return true, nil
}

// Rotating reports whether some secret has more than one generation.
func (k *Keys) Rotating() bool {
	r := k.ring.Load()
	return len(r.seal) > 1 || len(r.macs) > 1 || len(r.signing) > 1 || len(r.page) > 1
}

// Held names the generations in use, all of them in their order: two processes
// with the same name open and write the same.
func (k *Keys) Held() string {
	r := k.ring.Load()
	sum := sha256.New()
	fmt.Fprintln(sum, r.held, r.chain)
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// readAttempts is how often a directory is read when files vanish meanwhile: a
// rotation renames them.
const readAttempts = 3

func read(dir string) (r *ring, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := checkDir(root, dir); err != nil {
		return nil, err
	}
	for range readAttempts {
		var moved bool
		if r, moved, err = readOnce(root, dir); !moved {
			break
		}
	}
	return r, err
}

// readOnce reads every generation of every secret. moved says that a file that
// was listed is not there any more.
func readOnce(root *os.Root, dir string) (r *ring, moved bool, err error) {
	files := make(map[string]generations)
	var bad []error
	for _, name := range fileNames() {
		list, err := held(root, name)
		if err != nil {
			return nil, false, err
		}
		for _, file := range list {
			content, err := load(root, file)
			if err != nil {
				moved = moved || file != name && errors.Is(err, errMissing)
				bad = append(bad, fmt.Errorf("%s: %w", filepath.Join(dir, file), err))
				continue
			}
			if !slices.ContainsFunc(files[name], func(g []byte) bool { return bytes.Equal(g, content) }) {
				files[name] = append(files[name], content)
			}
		}
	}
	chain, err := loadChain(root)
	if err != nil {
		bad = append(bad, fmt.Errorf("%s: %w", filepath.Join(dir, chainFile), err))
	}
	if err := errors.Join(bad...); err != nil {
		return nil, moved, err
	}
	if r, err = newRing(files, chain); err != nil {
		return nil, false, err
	}
	kept, err := load(root, anchorFile)
	switch {
	case err == nil:
		r.anchor = newMACKey(kept)
	case !errors.Is(err, errMissing):
		return nil, false, fmt.Errorf("%s: %w", filepath.Join(dir, anchorFile), err)
	}
	return r, false, nil
}

// Create makes the secrets of a new installation in dir, which may exist, and
// loads them. It refuses to when one is there already.
func Create(dir string) (*Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, unusable(err)
	}
	defer root.Close()
	if found := present(root); len(found) > 0 {
		return nil, unusable(fmt.Errorf("%s: it is there already and is not overwritten", filepath.Join(dir, found[0])))
	}
	if err := complete(root); err != nil {
		return nil, unusable(err)
	}
	return Open(dir)
}

// LoadOrCreate loads the secrets of dir or, when it holds none, makes them. It
// also finishes what a crash in Create began. Some without the others are an
// error: new ones would make everything sealed under the lost ones garbage.
// Two processes must not do this at once; the lock on the data is taken first.
func LoadOrCreate(dir string) (*Keys, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Create(dir)
	}
	if err != nil {
		return nil, unusable(err)
	}
	defer root.Close()
	if _, err := root.Stat(unfinished); err == nil {
		if err := complete(root); err != nil {
			return nil, unusable(err)
		}
	}
	if len(present(root)) == 0 {
		return Create(dir)
	}
	return Open(dir)
}

// present lists which secrets are there.
func present(root *os.Root) []string {
	var found []string
	for _, name := range fileNames() {
		if _, err := root.Lstat(name); err == nil {
			found = append(found, name)
		}
	}
	return found
}

// complete makes the files that are missing, under the marker.
func complete(root *os.Root) error {
	if err := write(root, unfinished, nil); err != nil {
		return err
	}
	for _, name := range fileNames() {
		if _, err := root.Lstat(name); err == nil {
			continue
		}
		if err := write(root, name, fresh()); err != nil {
			return err
		}
	}
	// The files must be on disk before the marker is gone, else a power cut
	// turns an unfinished start into a lost secret.
	if err := syncDir(root); err != nil {
		return err
	}
	if err := root.Remove(unfinished); err != nil {
		return err
	}
	return syncDir(root)
}

// fresh is the content of a new secret's file.
func fresh() []byte {
	var secret [minSecret]byte
	rand.Read(secret[:])
	return []byte(base64.StdEncoding.EncodeToString(secret[:]) + "\n")
}

// write makes a file whole or not at all: synced under another name, then renamed.
func write(root *os.Root, name string, content []byte) error {
	temp := name + ".new"
	f, err := root.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return root.Rename(temp, name)
}

func syncDir(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkDir refuses a directory in which others can replace the files.
func checkDir(root *os.Root, dir string) error {
	info, err := root.Stat(".")
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s: others may write to it (mode %04o): run chmod 700 %s", dir, info.Mode().Perm(), dir)
	}
	return nil
}

var errMissing = errors.New("missing: restore it from the backup of the secrets; it cannot be made again")

// load reads one secret and judges it. Its errors never quote the content.
func load(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errMissing
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file: put the secret itself there")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read it (mode %04o): run chmod 600 on it", info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// parse decodes one line of base64 and refuses what could be guessed.
func parse(text []byte) ([]byte, error) {
	line := strings.TrimSpace(string(text))
	switch {
	case line == "":
		return nil, errors.New("empty: restore it from the backup of the secrets")
	case len(text) > maxFile:
		return nil, errors.New("too large for a secret: it is one line, as `openssl rand -base64 32` prints")
	}
	if strings.ContainsAny(line, "\r\n") {
		return nil, errors.New("more than one line: it is one, as `openssl rand -base64 32` prints")
	}
	secret, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		// The cause quotes an offset only, but even that is nobody's business.
		return nil, errors.New("not base64: it is one line, as `openssl rand -base64 32` prints")
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("too short (%d bytes, at least %d): use one made by `openssl rand -base64 32`", len(secret), minSecret)
	}
	if distinct(secret) < minDistinct {
		return nil, errors.New("predictable (few different bytes): use one made by `openssl rand -base64 32`")
	}
	return secret, nil
}

func distinct(b []byte) int {
	n := 0
	for c := range 256 {
		if bytes.IndexByte(b, byte(c)) >= 0 {
			n++
		}
	}
	return n
}

// unusable is how a start fails. The path is in the cause: it is for the
// operator's terminal and log, not for a client.
func unusable(err error) error {
	return gatehouse.Errorf(gatehouse.FailedPrecondition, "the installation's secrets cannot be used").Because(err)
}
