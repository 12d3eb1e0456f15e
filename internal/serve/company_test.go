package serve

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

// started is a process of role all on a database, whose stop ends with the test.
func started(t *testing.T, cfg Config) *program {
	t.Helper()
	cfg.Gateway.Listen, cfg.Management.Listen, cfg.Metrics.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	must(t, cfg.Check())
	h, err := open(t.Context(), cfg, quiet())
	must(t, err)
	p := &program{house: h, proc: Process{Version: "test"}}
	p.later("database", func(context.Context) error { return h.close() })
	t.Cleanup(func() { must(t, p.stop()) })
	must(t, p.start(t.Context()))
	return p
}

// The gateway of one process believes that every limit is its own. When another
// process comes in on the same database, nobody joins through the first: it must
// see that it has company, or a key has its limits twice.
func TestAGatewayThatHasCompanyElsewhereSharesItsLimits(t *testing.T) {
	cfg := Defaults()
	cfg.Data, cfg.Database = filepath.Join(t.TempDir(), "first"), prepared(t)
	first := started(t, cfg)
	if first.limits.Shared() {
		t.Fatal("shared with nobody")
	}
	other := cfg
	other.Data, other.Secrets = filepath.Join(t.TempDir(), "second"), cfg.secretsDir()
	if second := started(t, other); !second.limits.Shared() {
		t.Error("the second takes every limit for its own")
	}
	for deadline := time.Now().Add(10 * time.Second); !first.limits.Shared(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the first takes every limit for its own still")
		}
	}
}
