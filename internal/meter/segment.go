package meter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"

	"gatehouse/internal/durable"
)

// file is what the journal writes to; tests make it fail.
type file interface {
	WriteAt(p []byte, at int64) (int, error)
	Datasync() error
	Close() error
}

// diskFile is a segment's file. What is preallocated is written by storing into
// a mapping of the page cache, which survives the death of this process as a
// write would and costs no system call: with two writes a request those were a
// twelfth of what a request costs. An fdatasync covers either.
//
// WriteAt and Close are called by one goroutine at a time: Journal.wmu. Datasync
// may run beside WriteAt.
type diskFile struct {
	*os.File
	size   int64       // up to which there are blocks; 0: it cannot be mapped
	from   int64       // where view begins
	view   []byte      // a window of the file
	failed atomic.Bool // storing failed; the file is of no more use
}

// window is how much of a file is mapped at a time. All that is mapped and was
// touched counts as this process's memory.
const window = 512 << 10

func (f *diskFile) Datasync() error {
	if f.failed.Load() {
		return errFault
	}
	return datasync(f.File)
}

// WriteAt stores what lies within the preallocated blocks and writes the rest.
func (f *diskFile) WriteAt(p []byte, at int64) (n int, err error) {
	for n < len(p) && at+int64(n) < f.size {
		k, err := f.store(p[n:], at+int64(n))
		if n += k; err != nil {
			return n, err
		}
	}
	if n == len(p) {
		return n, nil
	}
	k, err := f.File.WriteAt(p[n:], at+int64(n))
	return n + k, err
}

// store copies as much of p as the window around at takes.
func (f *diskFile) store(p []byte, at int64) (n int, err error) {
	if at < f.from || at >= f.from+int64(len(f.view)) {
		if err := f.move(at - at%window); err != nil {
			f.size = 0 // no more mappings: write from now on
			return 0, nil
		}
	}
	return f.copy(f.view[at-f.from:], p)
}

// copy turns a fault into an error: a file system that breaks its promise of
// blocks, or a disk that does, says so by a signal.
func (f *diskFile) copy(to, p []byte) (n int, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			f.failed.Store(true)
			n, err = 0, errFault
		}
	}()
	return copy(to, p), nil
}

var errFault = errors.New("a store into the mapped segment failed")

// move maps the window at from instead of the one that is mapped.
func (f *diskFile) move(from int64) error {
	if err := f.unmap(); err != nil {
		return err
	}
	view, err := mapFile(f.File, from, int(min(window, f.size-from)))
	f.from, f.view = from, view
	return err
}

func (f *diskFile) unmap() error {
	view := f.view
	if f.view = nil; view == nil {
		return nil
	}
	return unmapFile(view)
}

// Close implements [file].
func (f *diskFile) Close() error { return errors.Join(f.unmap(), f.File.Close()) }

// createFile makes a preallocated segment and makes its name durable.
func createFile(path string, size int64) (file, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	mappable, err := preallocate(f, size)
	if err == nil {
		err = durable.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	d := &diskFile{File: f}
	if mappable {
		d.size = size
	}
	return d, nil
}

func segmentName(incarnation, seq int64) string {
	return fmt.Sprintf("%016x-%016x.seg", incarnation, seq)
}

func parseSegmentName(name string) (incarnation, seq int64, ok bool) {
	n, err := fmt.Sscanf(name, "%016x-%016x.seg", &incarnation, &seq)
	return incarnation, seq, n == 2 && err == nil && name == segmentName(incarnation, seq)
}

// segment is a file that this incarnation writes. Positions are within the
// file; base+position is an offset of the stream.
//
// buf is the image of the file from synced on. It is kept until an fsync
// covered it, because after a failed fsync nobody can say what the disk holds:
// the frames are then written again elsewhere, from memory.
type segment struct {
	seq     int64
	path    string
	f       file
	base    int64
	buf     []byte
	written int64 // position up to which the kernel has it; guarded by Journal.wmu
	synced  int64 // position up to which the disk has it
	ticket  int64 // Journal.appended at the end of buf
	sealed  bool  // nothing is appended any more
}

// end is the position behind the last frame.
func (s *segment) end() int64 { return s.synced + int64(len(s.buf)) }

// next is the offset of the stream where the following segment starts.
func (s *segment) next(size int64) int64 { return s.base + max(size, s.end()) }

// forget drops what is durable. Nobody may be writing from buf.
func (s *segment) forget(synced int64) {
	n := copy(s.buf, s.buf[synced-s.synced:])
	s.buf, s.synced = s.buf[:n], synced
}
