// Package dir keeps blobs as files of a directory.
//
// A blob is the file AA/NAME, where AA is the beginning of its name. It is
// written under .new first and gets its name once it is whole and on disk, so
// that a crash at any time leaves all of it or nothing of that name. Whatever is
// in the directory, symbolic links among it, nothing outside is read or written:
// every path goes through an [os.Root].
package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"

	"gatehouse"
	"gatehouse/internal/durable"
	"gatehouse/internal/library/blob"
)

// pending is the directory of what is being written. It is there from Open on,
// so that its absence says that the directory itself has gone.
const pending = ".new"

// Files are for the process alone.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// Store is a directory of blobs. It is safe for concurrent use.
type Store struct {
	root *os.Root

	mu   sync.Mutex
	made map[string]bool // the directories AA that a power cut would leave
}

var _ blob.Store = (*Store)(nil)

// Open makes the directory where there is none, and removes what a crash left
// half written. What another process is writing just now stays.
func Open(at string) (*Store, error) {
	if err := os.MkdirAll(at, dirMode); err != nil {
		return nil, fmt.Errorf("the directory of blobs: %w", err)
	}
	root, err := os.OpenRoot(at)
	if err != nil {
		return nil, fmt.Errorf("the directory of blobs: %w", err)
	}
	s := &Store{root: root, made: map[string]bool{}}
	if err := errors.Join(s.makeDir(pending), s.clear()); err != nil {
		return nil, errors.Join(fmt.Errorf("the directory of blobs: %w", err), root.Close())
	}
	return s, nil
}

// Close releases the directory.
func (s *Store) Close() error { return s.root.Close() }

// Put implements blob.Store. The bytes are copied: the spooled file may be on
// another file system, and stays its owner's.
func (s *Store) Put(ctx context.Context, name string, spooled *os.File, size int64) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	content, err := blob.Spooled(spooled, size)
	if err != nil {
		return err
	}
	temporary := path.Join(pending, name+"."+rand.Text())
	err = s.write(ctx, temporary, content)
	if err == nil {
		err = s.publish(temporary, name)
	}
	if err != nil {
		// What cannot be removed now is removed by the next Open.
		_ = s.root.Remove(temporary)
		return fault(ctx, err)
	}
	return nil
}

// write makes a file, locked until it is closed, and returns once its bytes
// would survive a power cut.
func (s *Store) write(ctx context.Context, at string, content io.Reader) error {
	f, err := s.root.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	if err = lock(f); err == nil {
		_, err = io.Copy(f, cancellable{ctx, content})
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// publish gives a file its name. A name that might not survive is taken back.
func (s *Store) publish(temporary, name string) error {
	if err := s.makeDir(parent(name)); err != nil {
		return err
	}
	if err := s.root.Rename(temporary, file(name)); err != nil {
		return err
	}
	if err := s.sync(parent(name)); err != nil {
		return errors.Join(err, s.root.Remove(file(name)))
	}
	return nil
}

// makeDir makes a directory of blobs durable at its first use: one that is there
// may be the work of a process that died before it was.
func (s *Store) makeDir(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made[dir] {
		return nil
	}
	if err := s.root.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.sync("."); err != nil {
		return err
	}
	s.made[dir] = true
	return nil
}

func (s *Store) sync(dir string) error { return durable.SyncDir(filepath.Join(s.root.Name(), dir)) }

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Asked first, because to open a pipe that somebody put there waits for ever.
	if info, err := s.root.Lstat(file(name)); err != nil || !info.Mode().IsRegular() {
		return nil, s.absent(ctx, err)
	}
	f, err := s.root.Open(file(name))
	if err != nil {
		return nil, s.absent(ctx, err)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(fault(ctx, err), f.Close())
	}
	return f, nil
}

// absent is why a blob cannot be opened; nil: what has its name is no file.
func (s *Store) absent(ctx context.Context, err error) error {
	if err == nil {
		return fault(ctx, errors.New("what has the blob's name is no file"))
	}
	if _, gone := s.root.Lstat(pending); gone != nil || !errors.Is(err, fs.ErrNotExist) {
		return fault(ctx, err)
	}
	return gatehouse.Errorf(gatehouse.NotFound, "there is no such blob")
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.root.Remove(file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.sync(parent(name))
	}
	return fault(ctx, err)
}

// List implements blob.Store. What Put did not make is passed over.
func (s *Store) List(ctx context.Context, yield func(name string) error) error {
	dirs, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return fault(ctx, err)
	}
	for _, d := range dirs {
		if d.IsDir() && d.Name() != pending {
			if err := s.listDir(ctx, d.Name(), yield); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) listDir(ctx context.Context, dir string, yield func(name string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	files, err := fs.ReadDir(s.root.FS(), dir)
	if err != nil {
		return fault(ctx, err)
	}
	for _, f := range files {
		if !f.Type().IsRegular() || blob.CheckName(f.Name()) != nil || parent(f.Name()) != dir {
			continue
		}
		if err := yield(f.Name()); err != nil {
			return err
		}
	}
	return nil
}

// Check implements blob.Store.
func (s *Store) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	at := path.Join(pending, "check."+rand.Text())
	err := s.root.WriteFile(at, []byte(at), fileMode)
	if err == nil {
		_, err = s.root.ReadFile(at)
	}
	return fault(ctx, errors.Join(err, s.root.Remove(at)))
}

func parent(name string) string { return name[:min(2, len(name))] }

func file(name string) string { return path.Join(parent(name), name) }

// fault keeps paths out of an error's public words.
func fault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return gatehouse.Errorf(gatehouse.Unavailable, "the directory of blobs cannot be used").Because(err)
}

// cancellable reads until its context ends.
type cancellable struct {
	ctx context.Context
	io.Reader
}

func (c cancellable) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(b)
}
