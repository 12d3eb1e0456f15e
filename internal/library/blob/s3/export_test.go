package s3

import (
	"time"

	"github.com/minio/minio-go/v7"
)

func init() { minio.DefaultRetryUnit = time.Millisecond } // what tries wait between them

// SetPatience shortens what a store waits for.
func (s *Store) SetPatience(d time.Duration) { s.patience = d }
