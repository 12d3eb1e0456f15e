package v1_test

import (
	"log/slog"
	"testing"
	"time"

	"gatehouse/internal/api"
	"gatehouse/internal/api/apitest"
	v1 "gatehouse/internal/api/v1"
)

var options = api.Options{Rate: -1, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return apitest.Now }}

// The wire of /v1, as scripts see it. Run with -update after an intended change
// and read the diff.
func TestWire(t *testing.T) {
	backend, words := apitest.NewV1()
	apitest.Run(t, "testdata", v1.Handler(backend, options), words)
}
