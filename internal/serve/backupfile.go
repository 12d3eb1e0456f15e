package serve

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"filippo.io/age"

	"gatehouse"
	"gatehouse/internal/secret"
)

// frameWriter writes frames and hashes them. As a Writer it takes the dump.
type frameWriter struct {
	w   *bufio.Writer
	sum hash.Hash
}

func newFrameWriter(w io.Writer) *frameWriter {
	f := &frameWriter{w: bufio.NewWriterSize(w, 64<<10), sum: sha256.New()}
	f.raw([]byte(backupLine)) // an error sticks to the buffer
	return f
}

func (f *frameWriter) raw(b []byte) error {
	f.sum.Write(b)
	_, err := f.w.Write(b)
	return err
}

func (f *frameWriter) frame(kind byte, payload []byte) error {
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	return errors.Join(f.raw(head), f.raw(payload))
}

// Write implements io.Writer.
func (f *frameWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		piece := b[:min(len(b), maxFrame)]
		if err := f.frame(frameDump, piece); err != nil {
			return n, err
		}
		n, b = n+len(piece), b[len(piece):]
	}
	return n, nil
}

func (f *frameWriter) finish(manifest []byte) error {
	if err := f.frame(frameManifest, manifest); err != nil {
		return err
	}
	_, err := f.w.Write(f.sum.Sum(nil))
	return errors.Join(err, f.w.Flush())
}

// backupFile is a backup to be read, as often as it takes.
type backupFile struct {
	path       string
	identities []age.Identity
}

// open begins at the first frame.
func (b backupFile) open() (*frameReader, error) {
	f, err := os.Open(b.path)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(f, 64<<10)
	r := &frameReader{in: in, file: f, sum: sha256.New()}
	if start, _ := in.Peek(len(ageLine)); string(start) == ageLine {
		if len(b.identities) == 0 {
			f.Close()
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "the backup is encrypted: give --identity or --passphrase-file")
		}
		plain, err := age.Decrypt(in, b.identities...)
		if err != nil {
			f.Close()
			return nil, damagedBackup(err)
		}
		r.in = bufio.NewReaderSize(plain, 64<<10)
	}
	line := make([]byte, len(backupLine))
	if err := r.raw(line); err != nil || string(line) != backupLine {
		f.Close()
		return nil, damagedBackup(errors.New("it does not begin like a backup of this version"))
	}
	return r, nil
}

func damagedBackup(why error) error {
	return gatehouse.Errorf(gatehouse.FailedPrecondition, "the file is not a whole backup that this key opens: nothing was written").Because(why)
}

// check reads the whole file. Only then is anything in it believed.
func (b backupFile) check() (m Manifest, err error) {
	r, err := b.open()
	if err != nil {
		return m, err
	}
	defer r.file.Close()
	for {
		kind, payload, err := r.frame()
		if err != nil {
			return m, damagedBackup(err)
		}
		if kind != frameManifest {
			continue
		}
		if err := r.end(); err != nil {
			return m, damagedBackup(err)
		}
		d := json.NewDecoder(bytes.NewReader(payload))
		d.DisallowUnknownFields() // made by a later version: what we do not know we would lose
		if err := d.Decode(&m); err != nil {
			return m, damagedBackup(err)
		}
		return m, nil
	}
}

// secrets are the files of the secrets directory that the backup holds.
func (b backupFile) secrets() (out []secretFile, err error) {
	r, err := b.open()
	if err != nil {
		return nil, err
	}
	defer r.file.Close()
	for {
		kind, payload, err := r.frame()
		if err != nil || kind != frameSecret {
			return out, err // they come first
		}
		var s secretFile
		if err := json.Unmarshal(payload, &s); err != nil {
			return nil, err
		}
		if !secret.IsFile(s.Name) {
			return nil, fmt.Errorf("%q is not a file of the secrets", s.Name)
		}
		out = append(out, s)
	}
}

// dump is the dump as it was written.
func (b backupFile) dump() (io.ReadCloser, error) {
	r, err := b.open()
	if err != nil {
		return nil, err
	}
	return &dumpReader{frames: r}, nil
}

// frameReader reads frames and hashes them.
type frameReader struct {
	in   *bufio.Reader
	file io.Closer
	sum  hash.Hash
}

func (r *frameReader) raw(b []byte) error {
	_, err := io.ReadFull(r.in, b)
	r.sum.Write(b)
	return err
}

func (r *frameReader) frame() (kind byte, payload []byte, err error) {
	var head [5]byte
	if err := r.raw(head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if kind = head[0]; kind != frameSecret && kind != frameDump && kind != frameManifest || n > maxFrame {
		return 0, nil, errors.New("not a frame")
	}
	payload = make([]byte, n)
	return kind, payload, r.raw(payload)
}

// end checks what stands behind the manifest.
func (r *frameReader) end() error {
	want := r.sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r.in, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("its checksum differs")
	}
	if _, err := r.in.ReadByte(); err != io.EOF {
		return errors.New("something follows its end")
	}
	return nil
}

// dumpReader is the payload of the dump's frames.
type dumpReader struct {
	frames *frameReader
	rest   []byte
	done   bool
}

// Read implements io.Reader.
func (d *dumpReader) Read(b []byte) (int, error) {
	for len(d.rest) == 0 {
		if d.done {
			return 0, io.EOF
		}
		kind, payload, err := d.frames.frame()
		switch {
		case err != nil:
			return 0, err
		case kind == frameManifest:
			d.done = true
		case kind == frameDump:
			d.rest = payload
		}
	}
	n := copy(b, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (d *dumpReader) Close() error { return d.frames.file.Close() }
