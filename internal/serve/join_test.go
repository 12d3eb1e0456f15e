package serve

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
	wire "gatehouse/internal/fleet"
)

// joinToken is what an operator of r gets.
func (r *running) joinToken(t *testing.T) string {
	t.Helper()
	status, body := r.manage(t, "POST", "/admin/v1/join-tokens", `{"cluster":"local"}`)
	if status != 200 {
		t.Fatalf("join token: %d %s", status, body)
	}
	var made struct {
		Token string `json:"token"`
	}
	must(t, json.Unmarshal(body, &made))
	return made.Token
}

// The contract: a gateway that has joined starts from its data directory alone,
// while control is away.
func TestAGatewayThatJoinedNeedsNothingButItsData(t *testing.T) {
	r := run(t)
	cfg := Defaults()
	cfg.Role, cfg.Data = RoleGateway, filepath.Join(t.TempDir(), "data")
	cfg.Gateway.Listen, cfg.Metrics.Listen = "127.0.0.1:0", "127.0.0.1:0"
	first := cfg
	first.Control, first.JoinToken = []string{"http://" + r.addrs.Management}, r.joinToken(t)
	gateway := func(cfg Config, until func(*program) bool) {
		t.Helper()
		h, err := open(t.Context(), cfg, quiet())
		must(t, err)
		p := &program{house: h, proc: Process{Version: "test"}}
		defer func() { must(t, p.stop()) }()
		must(t, p.start(t.Context()))
		for end := time.Now().Add(10 * time.Second); !until(p); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the gateway never came so far")
			}
		}
	}
	gateway(first, func(p *program) bool { return p.follower.Replica.Ready() })
	// Only control grants a lease, so it was found where it was before.
	gateway(cfg, func(p *program) bool { return p.follower.Replica.Leased(time.Now()) })
	must(t, r.stop())
	r.stops = nil
	gateway(cfg, func(p *program) bool { return p.follower.Replica.Ready() })

	cfg.Role = RoleAll
	err := Run(context.Background(), cfg, Process{})
	if gatehouse.CodeOf(err) != gatehouse.FailedPrecondition || !strings.Contains(err.Error(), "--role gateway") {
		t.Errorf("an installation of its own on a gateway's disk: %v", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.Data, databaseFile)); err == nil {
		t.Error("a database was founded there")
	}
	if _, err := wire.Load(cfg.Data); err != nil {
		t.Error(err)
	}
}
