package library

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// TooLarge is the private cause of the refusal of a file that is larger than
// Bounds.FileSize, for faces that have a status of its own for it.
var TooLarge = errors.New("file too large")

const (
	// spooled begins the names of the files that a Service makes in its spool.
	spooled = "spool-"
	// spoolBuffer is what an upload costs in memory, whatever its size.
	spoolBuffer = 64 << 10
	// writeHold is how long bytes may take to be written, and recordHold how long
	// they are kept then for the record that is to refer to them: far longer than a
	// transaction takes, and no longer than that, since until then what is uploaded
	// and deleted takes room that no bound counts.
	writeHold, recordHold = time.Hour, 10 * time.Minute
	// Each upload takes up to a file's size of the spool while it comes.
	uploadCrowd, uploadsAtOnce = 16, 64
)

// Upload is bytes that are kept, and what is to be said of them. Whoever has
// one puts a record in a transaction of its own; until then nobody sees it, and
// without a record the bytes are swept.
type Upload struct {
	Name, ContentType string
	Hash              string // SHA-256, hex
	Size              int64
	Life              time.Duration // of its record; zero: for ever
	blob              string
}

// Stage reads an upload to its end and keeps its bytes. What can be refused
// without them is refused before the first is read: a team that is at its bounds
// sends nothing.
func (s *Service) Stage(ctx context.Context, team gatehouse.ID, f gatehouse.NewFile) (*Upload, error) {
	up, err := judge(f)
	if err != nil {
		return nil, err
	}
	room := func(size int64) error {
		return s.Store.View(store.ForTeam(ctx, team), func(v store.View) error { return s.room(v, team, 1, size) })
	}
	if err = room(1); err == nil {
		err = s.stage(ctx, team, up, f.Content, room)
	}
	if err != nil {
		return nil, err
	}
	return up, nil
}

// StageContent is Stage for what takes the place of a file's content of so many
// bytes, which needs room for the difference alone.
func (s *Service) StageContent(ctx context.Context, team gatehouse.ID, f gatehouse.NewFile, before int64) (*Upload, error) {
	up, err := judge(f)
	if err == nil {
		err = s.stage(ctx, team, up, f.Content, func(size int64) error {
			return s.Store.View(store.ForTeam(ctx, team), func(v store.View) error { return s.room(v, team, 0, size-before) })
		})
	}
	if err != nil {
		return nil, err
	}
	return up, nil
}

// judge checks what is said of an upload.
func judge(f gatehouse.NewFile) (*Upload, error) {
	var bad gatehouse.Violations
	up := &Upload{Name: fileName("name", f.Name, &bad), ContentType: contentType("content_type", f.ContentType, &bad), Life: f.Life}
	fileLife("expires_after", f.Life, &bad)
	if f.Content == nil {
		bad.Addf("file", "is required")
	}
	return up, bad.Err()
}

// room refuses what would be more than a team may keep.
func (s *Service) room(v store.LibraryView, team gatehouse.ID, files int, bytes int64) error {
	n, size, err := v.LibrarySize(team)
	switch {
	case err != nil:
		return err
	case files > 0 && n+files > s.Bounds.Files:
		return gatehouse.Errorf(gatehouse.ResourceExhausted, "the team has %d files, and may have %d: delete some first", n, s.Bounds.Files)
	case bytes > 0 && size+bytes > s.Bounds.Bytes:
		return gatehouse.Errorf(gatehouse.ResourceExhausted, "the team has %d bytes of files, and may have %d: delete some first", size, s.Bounds.Bytes)
	}
	return nil
}

// stage spools content and puts it where blobs are. room says whether new bytes
// may be kept: those that nothing refers to in the end stay for recordHold.
func (s *Service) stage(ctx context.Context, team gatehouse.ID, up *Upload, content io.Reader, room func(size int64) error) error {
	if !s.uploads.Enter(team) {
		return gatehouse.Errorf(gatehouse.ResourceExhausted, "too many uploads of this team are under way: try again").After(time.Second)
	}
	defer s.uploads.Leave(team)
	file, err := os.CreateTemp(s.Spool, spooled)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	head, err := s.spool(ctx, file, up, content)
	if err != nil {
		return err
	}
	if up.ContentType == "" {
		up.ContentType = sniff(up.Name, head)
	}
	held, err := s.held(ctx, team, up)
	if err != nil || held {
		return err
	}
	if err := room(up.Size); err != nil {
		return err
	}
	return s.keep(ctx, team, up, file)
}

// spool copies content to a file, hashes it on the way, and returns how it
// begins.
func (s *Service) spool(ctx context.Context, file *os.File, up *Upload, content io.Reader) (head []byte, err error) {
	hash, first := sha256.New(), &beginning{}
	body := &source{ctx: ctx, body: content}
	buffer := make([]byte, spoolBuffer)
	up.Size, err = io.CopyBuffer(io.MultiWriter(file, hash, first), io.LimitReader(body, s.Bounds.FileSize+1), buffer)
	switch {
	case body.err != nil:
		return nil, cutShort(body.err)
	case err != nil:
		return nil, fmt.Errorf("spool: %w", err)
	case up.Size > s.Bounds.FileSize:
		return nil, gatehouse.Errorf(gatehouse.ResourceExhausted, "the file is larger than %d bytes", s.Bounds.FileSize).Because(TooLarge)
	case up.Size == 0:
		return nil, gatehouse.Violations{{Field: "file", Problem: "is empty"}}.Err()
	}
	up.Hash = hex.EncodeToString(hash.Sum(nil))
	return first.bytes, nil
}

// cutShort is the refusal of a body that did not come to its end. What its
// reader says of it in our words stays as it is.
func cutShort(err error) error {
	if gatehouse.CodeOf(err) != gatehouse.Internal || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return gatehouse.Errorf(gatehouse.InvalidArgument, "the body ended before the file did").Because(err)
}

// held gives the bytes the blob that the team has of them, if it has one and it
// is there to its last byte: an upload is how lost bytes come back.
func (s *Service) held(ctx context.Context, team gatehouse.ID, up *Upload) (found bool, err error) {
	until := s.Now().Add(recordHold)
	err = s.work(ctx, team, func(w store.Work) (err error) {
		up.blob, found, err = w.TakeBlob(team, up.Hash, until)
		return err
	})
	if err != nil || !found {
		return false, err
	}
	last, err := s.Blobs.Open(ctx, up.blob, up.Size-1)
	if errors.Is(err, gatehouse.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer last.Close()
	_, err = io.ReadFull(last, make([]byte, 1))
	return err == nil, ctx.Err()
}

// keep gives the bytes a new blob.
func (s *Service) keep(ctx context.Context, team gatehouse.ID, up *Upload, file *os.File) error {
	until := s.Now().Add(writeHold)
	up.blob = blobName(up.Hash)
	planned := store.Blob{Name: up.blob, Team: team, Hash: up.Hash, Size: up.Size}
	if err := s.work(ctx, team, func(w store.Work) error { return w.PlanBlob(planned, until) }); err != nil {
		return err
	}
	if err := s.Blobs.Put(ctx, up.blob, file, up.Size); err != nil {
		return err
	}
	until = s.Now().Add(recordHold)
	return s.work(ctx, team, func(w store.Work) error { return w.StoredBlob(up.blob, until) })
}

func (s *Service) work(ctx context.Context, team gatehouse.ID, f func(store.Work) error) error {
	return s.Store.Work(store.ForTeam(ctx, team), f)
}

// blobName is never the same twice: bytes that are written anew never meet the
// sweeping of the old.
func blobName(hash string) string {
	var raw [16]byte
	rand.Read(raw[:])
	return hash + "-" + hex.EncodeToString(raw[:])
}

// source is a body that ends with its context, and remembers what went wrong
// with it: that is the sender's, and what goes wrong in writing is ours.
type source struct {
	ctx  context.Context
	body io.Reader
	err  error
}

func (r *source) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		r.err = err
		return 0, err
	}
	n, err := r.body.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// beginning keeps what a file begins with.
type beginning struct{ bytes []byte }

func (b *beginning) Write(p []byte) (int, error) {
	if room := sniffed - len(b.bytes); room > 0 {
		b.bytes = append(b.bytes, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// emptySpool makes the spool and removes what a crash left in it, and nothing
// that this package did not make.
func emptySpool(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("library: spool: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("library: spool: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), spooled) || !e.Type().IsRegular() {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("library: spool: %w", err)
		}
	}
	return nil
}
