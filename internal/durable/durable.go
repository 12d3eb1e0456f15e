// Package durable replaces files so that a power cut leaves the old one or the
// new one, whole, and never a directory that has forgotten either.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Suffix ends the name of a replacement under way. What a crash leaves under it
// is nobody's, and the next Replace of the same path takes it over.
const Suffix = ".new"

// Replace puts content where path is, with mode, and returns once it would
// survive a power cut. One caller at a time for each path.
func Replace(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path+Suffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	// One that was left behind has the mode of then.
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+Suffix, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(path+Suffix))
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes durable which files a directory has.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
