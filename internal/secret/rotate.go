package secret

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"gatehouse"
)

// A rotation has three steps, so that several processes that hold copies of the
// directory never meet a value that one of them cannot open:
//
//	Add      NAME.next is made: everyone accepts it, nobody writes with it
//	Promote  NAME.next becomes NAME, and NAME becomes NAME.1: now it is written with
//	Retire   NAME.1 becomes NAME.1.retired, which nobody loads
//
// Each step is complete on every node before the next begins on any. A single
// process sees Add and Promote at once, which is the same thing. What was
// written with the old generation must be sealed again before Retire; that is
// the store's, which can tell. A retired file is kept: backups from before the
// rotation need it.
const (
	nextSuffix    = ".next"
	retiredSuffix = ".retired"
	// chainFile holds the successions of the signing key, a line each. They are
	// public, and each is signed: who replaced them could only lose some.
	chainFile = "signing.chain"
	// anchorFile holds what Anchor used before the first rotation of mac.key.
	anchorFile = "anchor.key"
)

// names are what rotates, as an operator calls it, by the file that holds it.
var names = map[string]string{"pepper": masterFile, "mac": macFile, "signing": signingFile, "page": pageFile}

// held lists the files of a secret that are loaded: what is written with, what
// comes next, then earlier ones from the newest on.
func held(root *os.Root, name string) ([]string, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	all, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	out := []string{name}
	var earlier []int
	for _, file := range all {
		suffix, ours := strings.CutPrefix(file, name+".")
		if n, err := strconv.Atoi(suffix); ours && err == nil && n > 0 && strconv.Itoa(n) == suffix {
			earlier = append(earlier, n)
		}
	}
	if slices.Contains(all, name+nextSuffix) {
		out = append(out, name+nextSuffix)
	}
	slices.Sort(earlier)
	for _, n := range slices.Backward(earlier) {
		out = append(out, name+"."+strconv.Itoa(n))
	}
	return out, nil
}

// Add makes the next generation of a secret, unless it is there already.
func Add(dir, name string) error {
	return step(dir, name, func(root *os.Root, file string) error {
		if _, err := root.Lstat(file + nextSuffix); errors.Is(err, fs.ErrNotExist) {
			if err := write(root, file+nextSuffix, fresh()); err != nil {
				return err
			}
		}
		if file == signingFile {
			return announce(root)
		}
		return nil
	})
}

// Promote begins writing with the next generation. Done twice, the second finds
// nothing to promote and says so.
func Promote(dir, name string) error {
	return step(dir, name, func(root *os.Root, file string) error {
		list, err := held(root, file)
		if err != nil {
			return err
		}
		if !slices.Contains(list, file+nextSuffix) {
			return gatehouse.Errorf(gatehouse.FailedPrecondition, "%s: there is no next generation: add one first", name)
		}
		if file == signingFile {
			if err := announced(root); err != nil {
				return err
			}
		}
		if file == macFile {
			if err := anchor(root); err != nil {
				return err
			}
		}
		if err := keep(root, file, list); err != nil {
			return err
		}
		return root.Rename(file+nextSuffix, file)
	})
}

// anchor keeps what must outlive the first MAC key.
func anchor(root *os.Root) error {
	if _, err := root.Lstat(anchorFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	secret, err := load(root, macFile)
	if err != nil {
		return err
	}
	key, err := derive(secret, "anchor")
	if err != nil {
		return err
	}
	return write(root, anchorFile, []byte(base64.StdEncoding.EncodeToString(key)+"\n"))
}

// keep copies what is written with today beside itself, unless a Promote that
// was cut short has done so. Until the rename there are two names for it.
func keep(root *os.Root, file string, list []string) error {
	content, err := root.ReadFile(file)
	if err != nil {
		return err
	}
	highest := 0
	for _, other := range list {
		n, err := strconv.Atoi(strings.TrimPrefix(other, file+"."))
		if err != nil {
			continue
		}
		highest = max(highest, n)
		if text, err := root.ReadFile(other); err == nil && bytes.Equal(text, content) {
			return nil
		}
	}
	// A number that a retired generation has is not used again: the names tell
	// backups which one they need.
	for {
		highest++
		old := file + "." + strconv.Itoa(highest)
		if _, err := root.Lstat(old + retiredSuffix); errors.Is(err, fs.ErrNotExist) {
			if err := write(root, old, content); err != nil {
				return err
			}
			return syncDir(root)
		}
	}
}

// Retire takes every earlier generation out of use. Whoever calls it has made
// sure that nothing is sealed under them any more.
func Retire(dir, name string) error {
	return step(dir, name, func(root *os.Root, file string) error {
		list, err := held(root, file)
		if err != nil {
			return err
		}
		earlier := slices.DeleteFunc(list, func(f string) bool { return f == file || f == file+nextSuffix })
		if len(earlier) == 0 {
			return gatehouse.Errorf(gatehouse.FailedPrecondition, "%s: there is no earlier generation to retire", name)
		}
		if file == signingFile {
			if err := end(root, earlier); err != nil {
				return err
			}
		}
		for _, f := range earlier {
			if err := root.Rename(f, f+retiredSuffix); err != nil {
				return err
			}
		}
		return nil
	})
}

// RotationNames are what can be rotated, in the order in which they are shown.
func RotationNames() []string { return []string{"pepper", "mac", "signing", "page"} }

// step runs one step of a rotation under a lock, on a directory that is sound,
// and makes it durable.
func step(dir, name string, do func(root *os.Root, file string) error) error {
	file, ok := names[name]
	if !ok {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "%q cannot be rotated: %s can", name, strings.Join(RotationNames(), ", "))
	}
	// What cannot be opened is not rotated either.
	if _, err := read(dir); err != nil {
		return unusable(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return unusable(err)
	}
	defer root.Close()
	lock, err := root.Open(".")
	if err != nil {
		return unusable(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return gatehouse.Errorf(gatehouse.Conflict, "another rotation of these secrets is under way").Because(err)
	}
	if err := do(root, file); err != nil {
		var known *gatehouse.Error
		if errors.As(err, &known) {
			return err
		}
		return unusable(err)
	}
	if err := syncDir(root); err != nil {
		return unusable(err)
	}
	return nil
}
