// Package s3 keeps blobs as objects of a bucket, in any store that speaks S3.
//
// A blob is the object PREFIX/NAME, sent in one request whose signature holds
// the SHA-256 of its bytes: the server keeps what was meant or refuses it, and
// an object is there whole or not at all. A bucket that keeps old versions keeps
// deleted blobs too, until a rule of its own ends them.
package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"gatehouse"
	"gatehouse/internal/library/blob"
)

// How long the server may take: for any answer, and for what it takes in, which
// it does at least at this many bytes a second.
const (
	patience = 30 * time.Second
	slowest  = 1 << 20
	tries    = 3 // of a request
)

// Store is a bucket of blobs. It is safe for concurrent use.
type Store struct {
	client   *minio.Client
	bucket   string
	prefix   string // with the slash behind it, or empty
	patience time.Duration
}

var _ blob.Store = (*Store)(nil)

// Open makes sure that the bucket is there: FailedPrecondition when it is not,
// or when the credentials are no good for it, and Unavailable when nobody says.
func Open(ctx context.Context, c Config) (*Store, error) {
	s, err := c.store()
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	there, err := s.client.BucketExists(within, s.bucket)
	switch {
	case err == nil && there:
		return s, nil
	case err == nil:
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "the bucket %q is not there: make it, or correct its name", s.bucket)
	case denied(err) && ctx.Err() == nil:
		return nil, gatehouse.Errorf(gatehouse.FailedPrecondition, "the bucket %q may not be used with these keys", s.bucket).Because(err)
	}
	return nil, s.fault(ctx, err)
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, spooled *os.File, size int64) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	content, err := blob.Spooled(spooled, size)
	if err != nil {
		return err
	}
	return s.put(ctx, name, content)
}

// put reads content twice: for its hash, and to send it.
func (s *Store) put(ctx context.Context, key string, content *io.SectionReader) error {
	hash := sha256.New()
	if _, err := io.Copy(hash, content); err != nil {
		return gatehouse.Errorf(gatehouse.Unavailable, "the spooled file cannot be read").Because(err)
	}
	size := content.Size()
	within, cancel := context.WithTimeout(ctx, s.patience+time.Duration(size/slowest)*time.Second)
	defer cancel()
	// The hash takes the place of a signature on every piece, which would need
	// what not every server has.
	stored, err := minio.Core{Client: s.client}.PutObject(within, s.bucket, s.prefix+key, content, size, "",
		hex.EncodeToString(hash.Sum(nil)), minio.PutObjectOptions{DisableContentSha256: true, ContentType: "application/octet-stream"})
	if err == nil && stored.ETag == "" {
		err = errStranger
	}
	return s.fault(ctx, err)
}

// Open implements blob.Store. The context is that of the reader too.
func (s *Store) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	r, err := s.open(ctx, name, offset)
	if is(err, http.StatusRequestedRangeNotSatisfiable) {
		return io.NopCloser(bytes.NewReader(nil)), nil // at or behind its end
	}
	return r, err
}

func (s *Store) open(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	var o minio.GetObjectOptions
	if offset != 0 { // an empty object has no range
		if err := o.SetRange(offset, 0); offset < 0 || err != nil {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "no offset of a blob: %d", offset)
		}
	}
	within, cancel := context.WithCancel(ctx)
	r := &reader{store: s, ctx: ctx, cancel: cancel, late: time.AfterFunc(s.patience, cancel)}
	body, _, header, err := minio.Core{Client: s.client}.GetObject(within, s.bucket, s.prefix+key, o)
	r.late.Stop()
	if err == nil && offset != 0 && !strings.HasPrefix(header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
		err = errors.Join(errStranger, body.Close()) // it would be other bytes
	}
	if err != nil {
		cancel()
		return nil, s.fault(ctx, err)
	}
	r.body = body
	return r, nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	return s.remove(ctx, name)
}

func (s *Store) remove(ctx context.Context, key string) error {
	within, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	err := s.fault(ctx, s.client.RemoveObject(within, s.bucket, s.prefix+key, minio.RemoveObjectOptions{}))
	if errors.Is(err, gatehouse.NotFound) {
		return nil
	}
	return err
}

// List implements blob.Store. What Put did not make is passed over.
func (s *Store) List(ctx context.Context, yield func(name string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	late := time.AfterFunc(s.patience, cancel)
	defer late.Stop()
	for o := range s.client.ListObjectsIter(within, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, Recursive: true}) {
		late.Stop()
		if o.Err != nil {
			return s.fault(ctx, o.Err)
		}
		if name := strings.TrimPrefix(o.Key, s.prefix); blob.CheckName(name) == nil {
			if err := yield(name); err != nil {
				return err
			}
		}
		late.Reset(s.patience)
	}
	if within.Err() != nil {
		return s.fault(ctx, within.Err())
	}
	return nil
}

// Check implements blob.Store. What it writes has the name of no blob.
func (s *Store) Check(ctx context.Context) error {
	key := ".check-" + rand.Text()
	text := strings.NewReader(key)
	err := s.put(ctx, key, io.NewSectionReader(text, 0, text.Size()))
	if err == nil {
		var r io.ReadCloser
		if r, err = s.open(ctx, key, 0); err == nil {
			_, err = io.Copy(io.Discard, r)
			err = errors.Join(err, r.Close())
		}
	}
	return errors.Join(err, s.remove(ctx, key))
}
