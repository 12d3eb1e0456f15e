package admin_test

import (
	"log/slog"
	"testing"

	"gatehouse/internal/api"
	"gatehouse/internal/api/admin"
	"gatehouse/internal/api/apitest"
)

// The wire of /admin/v1, as scripts see it. Run with -update after
// an intended change and read the diff.
func TestWire(t *testing.T) {
	backend, words := apitest.New()
	apitest.Run(t, "testdata", admin.Handler(backend, api.Options{Rate: -1, Logger: slog.New(slog.DiscardHandler)}), words)
}
