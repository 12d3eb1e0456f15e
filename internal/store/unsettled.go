package store

import (
	"errors"
	"time"

	"gatehouse"
)

// ErrUnsettled is in the chain of an Update's error when the connection was lost
// while the database committed, and could not be had again in time to ask: the
// act may have been done or not. Every other error means that nothing was done.
// A repeat under the same Idempotency-Key is safe, since what is remembered is
// committed with the act; a repeat without one may do it twice.
var ErrUnsettled = errors.New("the outcome of the commit is unknown")

// Unsettled is the error of an Update whose outcome is unknown.
func Unsettled(cause error) *gatehouse.Error {
	return gatehouse.Errorf(gatehouse.Unavailable,
		"the database was lost while it kept this change: look whether it is there before you repeat it, or repeat it with the same Idempotency-Key").
		After(5 * time.Second).Because(errors.Join(ErrUnsettled, cause))
}
