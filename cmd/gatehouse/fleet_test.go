package main

import (
	"regexp"
	"strings"
	"testing"
)

// A join token is alone on stdout, for the script that starts gateways.
func TestAJoinTokenIsAloneOnStdout(t *testing.T) {
	start(t)
	r := gatehouseRun(t, "", "join-tokens", "create", "--cluster", "local", "--ttl", "7d", "--uses", "3")
	if r.code != 0 || !regexp.MustCompile(`^gthj_[0-9A-Za-z]{71}\n$`).MatchString(r.out) || strings.Contains(r.stderr, strings.TrimSpace(r.out)) {
		t.Fatalf("exit %d, %d bytes on stdout: %s", r.code, len(r.out), r.stderr)
	}
	id := uuids.FindString(r.stderr)
	if got := must(t, "join-tokens", "list"); !regexp.MustCompile(id + ` +local +\.\.\.\w{4} +active +0 of 3 `).MatchString(got) {
		t.Errorf("listed as\n%s", got)
	}
	if got := must(t, "join-tokens", "get", id); !strings.Contains(got, "0 of 3") || strings.Contains(got, strings.TrimSpace(r.out)) {
		t.Errorf("shown as\n%s", got)
	}
	must(t, "join-tokens", "revoke", id)
	for _, wrong := range []struct {
		code int
		args []string
	}{
		{exitNotFound, []string{"get", id}}, {exitUsage, []string{"create", "--cluster", "nowhere"}}, {exitUsage, []string{"create", "--cluster", "local", "--ttl", "0h"}},
		{exitUsage, []string{"create", "--cluster", "local", "--uses", "0"}}, {exitUsage, []string{"create", "--cluster", "local", "--ttl", "31d"}},
	} {
		if r := gatehouseRun(t, "", append([]string{"join-tokens"}, wrong.args...)...); r.code != wrong.code {
			t.Errorf("%v: exit %d, want %d: %s", wrong.args, r.code, wrong.code, r.stderr)
		}
	}
}

// Clusters, limits and a credential can be given and taken away from the
// command line, each without touching the others.
func TestWhatIsSharedCanBeBounded(t *testing.T) {
	start(t)
	shows := func(want bool, text string, args ...string) {
		t.Helper()
		if got := must(t, args...); strings.Contains(got, text) != want {
			t.Errorf("gatehouse %s: %q shown is not %v:\n%s", strings.Join(args, " "), text, want, got)
		}
	}
	must(t, "clusters", "create", "east")
	shows(true, "clusters            east", "models", "update", "grok-4.3", "--cluster", "east")
	shows(false, "east", "models", "update", "grok-4.3", "--all-clusters")
	made := must(t, "upstreams", "create", "--name", "up", "--base-url", "https://api.example.com/v1", "--cluster", "east", "--limit", "qps:5,tpm:1000")
	id := uuids.FindString(made)
	if !strings.Contains(made, "qps 5, tpm 1000") || !strings.Contains(made, "east") {
		t.Errorf("made\n%s", made)
	}
	shows(false, "east", "upstreams", "update", id, "--all-clusters")
	shows(true, "qps 5, tpm 1000", "upstreams", "get", id)
	shows(false, "qps 5", "upstreams", "update", id, "--limit", "none")
	if r := gatehouseRun(t, "sk-1", "upstreams", "update", id, "--credential-file", "-"); r.code != 0 || strings.Contains(r.out, "no credential") {
		t.Errorf("with a credential: exit %d\n%s%s", r.code, r.out, r.stderr)
	}
	shows(true, "no credential", "upstreams", "update", id, "--no-credential")
	team := uuids.FindString(must(t, "team", "get"))
	shows(true, "qpm 100", "team", "update", team, "--model-limit", "grok-4.3=qpm:100", "--model-limit", "grok-4=tpm:7")
	shows(true, "tpm 7", "team", "update", team, "--model-limit", "grok-4.3=none")
	shows(false, "grok-4.3", "team", "get", team)
	for _, wrong := range []string{"grok-4.3", "grok-4.3=", "grok-4.3=rps:5", "grok-4.3=qps:0", "=none"} {
		if r := gatehouseRun(t, "", "team", "update", team, "--model-limit", wrong); r.code != exitUsage {
			t.Errorf("%q: exit %d: %s", wrong, r.code, r.stderr)
		}
	}
}
