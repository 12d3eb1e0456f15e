package xai_test

import (
	"log/slog"
	"testing"

	"gatehouse/internal/api"
	"gatehouse/internal/api/apitest"
	"gatehouse/internal/api/xai"
)

// The wire of xAI's management API, as scripts see it. Run with -update after
// an intended change and read the diff.
func TestWire(t *testing.T) {
	backend, words := apitest.New()
	apitest.Run(t, "testdata", xai.Handler(backend, api.Options{Rate: -1, Logger: slog.New(slog.DiscardHandler)}), words)
}
