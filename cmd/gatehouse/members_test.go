package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// Somebody comes in by a link, gets another role, and goes; their key stays and
// gets another owner.
func TestPeopleComeAndGoFromTheCommandLine(t *testing.T) {
	start(t)
	root := os.Getenv("GATEHOUSE_MANAGEMENT_KEY")
	link := must(t, "team", "invitations", "create", "ada@example.com", "--role", "viewer")
	if !strings.Contains(link, "/accept#gthi_") || strings.Count(link, "\n") != 1 {
		t.Fatalf("the link is not alone on stdout: %q", link)
	}
	if r := gatehouseRun(t, "", "team", "invitations", "create", "ada@example.com", "--role", "viewer"); r.code != exitConflict {
		t.Errorf("invited twice: %d %s", r.code, r.stderr)
	}
	if r := gatehouseRun(t, link, "team", "invitations", "accept", "--email", "bob@example.com"); r.code != exitDenied {
		t.Errorf("accepted for another: %d %s", r.code, r.stderr)
	}
	r := gatehouseRun(t, link, "team", "invitations", "accept", "--email", "ada@example.com", "--given", "Ada")
	if r.code != 0 || !strings.HasPrefix(r.out, "gthm_") {
		t.Fatalf("%d %s", r.code, r.stderr)
	}
	if r := gatehouseRun(t, "gthm_x", "team", "invitations", "accept", "--email", "ada@example.com"); r.code != exitDenied {
		t.Errorf("accepted with no token: %d %s", r.code, r.stderr)
	}
	if out := must(t, "team", "invitations", "list"); !strings.Contains(out, "accepted") {
		t.Error(out)
	}
	var page struct {
		Data []struct{ ID, Email, Role string }
	}
	check(t, json.Unmarshal([]byte(must(t, "team", "members", "list", "--json")), &page))
	if len(page.Data) != 2 || page.Data[1].Email != "ada@example.com" || page.Data[1].Role != "viewer" {
		t.Fatalf("members %+v", page)
	}
	owner, ada := page.Data[0].ID, page.Data[1].ID
	if out := must(t, "team", "members", "role", ada, "developer"); !strings.Contains(out, "developer") {
		t.Error(out)
	}
	t.Setenv("GATEHOUSE_MANAGEMENT_KEY", strings.TrimSpace(r.out))
	must(t, "keys", "create", "--name", "hers", "--model", "*", "--endpoint", "*")
	if r := gatehouseRun(t, "", "team", "members", "role", ada, "owner"); r.code != exitDenied {
		t.Errorf("a developer made herself owner: %d %s", r.code, r.stderr)
	}
	t.Setenv("GATEHOUSE_MANAGEMENT_KEY", root)
	must(t, "team", "members", "remove", ada)
	if out := must(t, "keys", "orphans"); !strings.Contains(out, "hers") || !strings.Contains(out, ada) {
		t.Error(out)
	}
	must(t, "team", "members", "remove", ada, "--heir", owner)
	if out := must(t, "keys", "orphans"); strings.Contains(out, "hers") {
		t.Error(out)
	}
	if r := gatehouseRun(t, "", "team", "members", "remove", owner); r.code == 0 {
		t.Error("the last owner was removed")
	}
	if r := gatehouseRun(t, "", "login"); r.code != exitNotFound || !strings.Contains(r.stderr, "not configured") {
		t.Errorf("login without a provider: %d %s", r.code, r.stderr)
	}
}

// A key of a login goes to the URL that gave it, while it lasts, and is read from
// a file that nobody else can.
func TestALoginIsForItsURLItsTimeAndItsOwner(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("GATEHOUSE_MANAGEMENT_KEY", "")
	t.Setenv("XAI_MANAGEMENT_KEY", "")
	now := time.Now()
	token := gatehouse.MintToken("gth", gatehouse.Management, gatehouse.NewID())
	check(t, logins{"http://a": {token.Reveal(), now.Add(time.Hour)}, "http://old": {token.Reveal(), now.Add(-time.Hour)}}.write(now))
	got, err := managementKey("http://a")
	if err != nil || got.Reveal() != token.Reveal() {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := managementKey("http://b"); err == nil {
		t.Error("the key is for another URL")
	}
	if _, err := storedKey("http://a", now.Add(time.Hour)); err == nil || !strings.Contains(words(err), "ended") {
		t.Errorf("after its time: %v", err)
	}
	all, err := readLogins()
	if err != nil || len(all) != 1 {
		t.Errorf("kept %v, %v", all, err)
	}
	other := gatehouse.MintToken("gth", gatehouse.Management, gatehouse.NewID())
	t.Setenv("GATEHOUSE_MANAGEMENT_KEY", other.Reveal())
	if got, err := managementKey("http://a"); err != nil || got.Reveal() != other.Reveal() {
		t.Errorf("the environment does not win: %v", err)
	}
	t.Setenv("GATEHOUSE_MANAGEMENT_KEY", "")
	file := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "gatehouse", "login.json")
	check(t, os.Chmod(file, 0o644))
	if _, err := managementKey("http://a"); err == nil || !strings.Contains(words(err), "chmod 600") {
		t.Errorf("a file open to others: %v", err)
	}
}
