// Package blob is the contract of where the library keeps bytes: a directory, or
// a bucket. It knows neither teams nor files; the store says what each blob is,
// and no name is used twice.
package blob

import (
	"context"
	"io"
	"os"
	"strings"

	"gatehouse"
)

// Store keeps blobs.
type Store interface {
	// Put keeps the whole of a spooled file of a known size under a name, durably
	// before it returns, or nothing that Open would find.
	Put(ctx context.Context, name string, spooled *os.File, size int64) error
	// Open reads a blob from an offset. NotFound when there is none; Unavailable
	// when it cannot be told.
	Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error)
	// Delete removes a blob; one that is not there is no error.
	Delete(ctx context.Context, name string) error
	// List yields the names of all blobs, in no order, for checks.
	List(ctx context.Context, yield func(name string) error) error
	// Check says that blobs can be written, read and deleted, for the start and the
	// doctor.
	Check(ctx context.Context) error
}

// MaxName bounds a name. Names are made of hash and id: lower-case letters,
// digits and dashes, and nothing that a file system or a URL reads otherwise.
const MaxName = 128

// CheckName refuses what no name of ours looks like.
func CheckName(name string) error {
	ok := name != "" && len(name) <= MaxName && !strings.ContainsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-')
	})
	if !ok {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "not the name of a blob")
	}
	return nil
}
