package meter

import (
	"fmt"
	"os"
	"path/filepath"
)

// file is what the journal writes to; tests make it fail.
type file interface {
	WriteAt(p []byte, at int64) (int, error)
	Datasync() error
	Close() error
}

type diskFile struct{ *os.File }

func (f diskFile) Datasync() error { return datasync(f.File) }

// createFile makes a preallocated segment and makes its name durable.
func createFile(path string, size int64) (file, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err = preallocate(f, size); err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return diskFile{f}, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
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
