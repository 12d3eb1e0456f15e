package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"gatehouse"
)

// fault says what an answer means; nil is nil. Only a missing object is
// NotFound: a missing bucket, or keys that no longer work, say nothing of what
// was kept there.
func (s *Store) fault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		// An end that we made ourselves is not the caller's.
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			err = errLate
		}
		return gatehouse.Errorf(gatehouse.Unavailable, "the store of blobs does not answer").Because(err)
	}
	switch {
	// The client makes the same code of any 404: it is S3's when it came as XML.
	case r.Code == minio.NoSuchKey && r.StatusCode == http.StatusNotFound && r.XMLName.Local == "Error":
		return gatehouse.Errorf(gatehouse.NotFound, "there is no such blob").Because(err)
	case r.Code == minio.NoSuchBucket:
		return gatehouse.Errorf(gatehouse.Unavailable, "the bucket %q is not there", s.bucket).Because(err)
	case denied(err):
		return gatehouse.Errorf(gatehouse.Unavailable, "the bucket %q may not be used with these keys", s.bucket).Because(err)
	}
	return gatehouse.Errorf(gatehouse.Unavailable, "the store of blobs fails").Because(err)
}

var (
	errLate     = errors.New("no answer in time")
	errStranger = errors.New("what answers is no object storage")
)

// is reports whether the server answered with a status.
func is(err error, status int) bool {
	var r minio.ErrorResponse
	return errors.As(err, &r) && r.StatusCode == status
}

func denied(err error) bool { return is(err, http.StatusForbidden) || is(err, http.StatusUnauthorized) }

// reader is an object as it comes. Its server may pause for so long and no
// longer, however slowly the reader itself reads.
type reader struct {
	store  *Store
	ctx    context.Context // the caller's
	cancel context.CancelFunc
	late   *time.Timer
	body   io.ReadCloser
}

func (r *reader) Read(b []byte) (int, error) {
	r.late.Reset(r.store.patience)
	n, err := r.body.Read(b)
	r.late.Stop()
	if err != nil && err != io.EOF {
		err = r.store.fault(r.ctx, err)
	}
	return n, err
}

func (r *reader) Close() error {
	r.late.Stop()
	r.cancel()
	return r.body.Close()
}
