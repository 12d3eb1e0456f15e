package library

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"gatehouse"
	"gatehouse/internal/library/extract"
)

// maxReaders is how many extractions readers may have under way at once: each is
// a process with the memory of a parser. Others wait.
const maxReaders = 2

// openBlob reads a file's bytes from an offset. The record vouches for them: a
// blob that is not there is our fault and not the reader's.
func (s *Service) openBlob(ctx context.Context, f *gatehouse.File, offset int64) (io.ReadCloser, error) {
	body, err := s.Blobs.Open(ctx, f.Blob, offset)
	if errors.Is(err, gatehouse.NotFound) {
		return nil, gatehouse.Errorf(gatehouse.Internal, "the file is damaged where it is stored").Because(err)
	}
	if err != nil {
		return nil, err
	}
	r := &checked{ReadCloser: body, left: f.Size - offset, want: f.Hash}
	if offset == 0 {
		r.hash = sha256.New()
	}
	return r, nil
}

// openFile reads a file's bytes from an offset. look finds the file anew: since f
// was found it may have been deleted, or got other content, and what it had been
// swept.
func (s *Service) openFile(ctx context.Context, f *gatehouse.File, offset int64, look func() (*gatehouse.File, error)) (*gatehouse.File, io.ReadCloser, error) {
	body, err := s.openBlob(ctx, f, offset)
	if errors.Is(err, gatehouse.NotFound) {
		now, gone := look()
		if gone != nil {
			return nil, nil, gone
		}
		if now.Blob != f.Blob && offset <= now.Size {
			f = now
			body, err = s.openBlob(ctx, f, offset)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return f, body, nil
}

// checked is a file's bytes. The last of them are handed out when the hash of
// all is right, so that nobody takes damaged bytes for a whole file.
type checked struct {
	io.ReadCloser
	hash hash.Hash // nil where the read is not a whole one
	want string
	left int64
	err  error
}

func (r *checked) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.ReadCloser.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if r.hash != nil {
		r.hash.Write(p[:n])
	}
	switch {
	case r.left > 0 && err == io.EOF:
		r.err = damaged("it ends too early")
		return 0, r.err
	case r.left == 0 && r.hash != nil && hex.EncodeToString(r.hash.Sum(nil)) != r.want:
		r.err = damaged("its hash is another")
		return 0, r.err
	case r.left == 0:
		return n, nil
	}
	return n, err
}

func damaged(why string) error {
	return gatehouse.Errorf(gatehouse.Internal, "the file is damaged where it is stored").Because(fmt.Errorf("%w: %s", errDamaged, why))
}

// errDamaged is the private cause of every such error.
var errDamaged = errors.New("stored bytes are damaged")

// FileText implements Files. The text is complete before its first byte is
// written, so that a document that fails in its middle is an error and no text.
func (s *Service) FileText(ctx context.Context, who Asker, id gatehouse.ID, most int64, w io.Writer) (*gatehouse.File, error) {
	look := func() (*gatehouse.File, error) { return s.GetFile(ctx, who, id) }
	f, err := look()
	if err != nil {
		return nil, err
	}
	text, err := os.CreateTemp(s.Spool, spooled)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	defer os.Remove(text.Name())
	defer text.Close()
	size := int64(0)
	err = s.textOf(ctx, look, func(p extract.Part) error {
		if size += int64(len(p.Text)); most > 0 && size > most {
			return gatehouse.Errorf(gatehouse.ResourceExhausted, "the text of the file has more than %d bytes", most)
		}
		_, err := text.WriteString(p.Text)
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, io.NewSectionReader(text, 0, size)); err != nil {
		return nil, err
	}
	return f, nil
}

// textOf hands out a file's text for a reader, who waits for a turn. The file is
// looked up when it has come: until then it may have been deleted.
func (s *Service) textOf(ctx context.Context, look func() (*gatehouse.File, error), yield func(extract.Part) error) error {
	select {
	case s.readers <- struct{}{}:
		defer func() { <-s.readers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f, err := look()
	if err != nil {
		return err
	}
	f, body, err := s.openFile(ctx, f, 0, look)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = s.Extract.Extract(ctx, extract.Document{Name: f.Name, Type: f.ContentType, Body: body}, yield)
	return err
}
