package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// placed are the units in a directory where their binary is one that exists.
func placed(t *testing.T) (paths []string, texts map[string]string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("systemd-analyze is missing: apt-get install -y systemd")
	}
	units, err := filepath.Glob("../systemd/*.service")
	if err != nil || len(units) != 3 {
		t.Fatal(units, err)
	}
	dir, texts := t.TempDir(), map[string]string{}
	for _, unit := range units {
		text := read(t, unit)
		texts[filepath.Base(unit)] = text
		path := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "/usr/local/bin/gatehouse", "/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths, texts
}

func TestSystemdTakesTheUnits(t *testing.T) {
	paths, texts := placed(t)
	out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, paths...)...).CombinedOutput()
	if err != nil || len(strings.TrimSpace(string(out))) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	for name, text := range texts {
		var env []string
		for _, m := range regexp.MustCompile(`\b(GATEHOUSE_[A-Z_]+)=`).FindAllStringSubmatch(text, -1) {
			env = append(env, m[1])
		}
		checkEnvironment(t, name, env)
		if name != "gatehouse.service" && !strings.Contains(text, "LoadCredential=") {
			t.Errorf("%s hands over no secret", name)
		}
		stop, _ := strconv.Atoi(regexp.MustCompile(`TimeoutStopSec=(\d+)`).FindStringSubmatch(text)[1])
		if stop < 45 || !strings.Contains(text, "Restart=always") {
			t.Errorf("%s is killed after %d s, or not started again", name, stop)
		}
	}
}

// Systemd's own scale: 10 is a service that may do everything, 2 and less is
// "OK".
func TestTheUnitsAreConfined(t *testing.T) {
	paths, _ := placed(t)
	for _, path := range paths {
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20", path).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(path), err, out)
		}
	}
}

// kinds are systemd's names of the namespaces that children get.
var kinds = map[string]string{"CLONE_NEWUSER": "user", "CLONE_NEWNET": "net", "CLONE_NEWIPC": "ipc", "CLONE_NEWUTS": "uts"}

// A unit that refuses what the extraction of documents asks for costs a wall
// around it, and nobody notices.
func TestTheUnitsLetExtractionShutItselfOff(t *testing.T) {
	source := read(t, "../../internal/library/extract/limits_linux.go")
	want := map[string]bool{}
	for _, flag := range regexp.MustCompile(`CLONE_NEW\w+`).FindAllString(source, -1) {
		want[kinds[flag]] = true
	}
	if !strings.Contains(source, "syscall.Chroot(") || want[""] || len(want) == 0 {
		t.Fatalf("children ask for something else by now: %v", want)
	}
	_, texts := placed(t)
	for name, text := range texts {
		got := strings.Fields(regexp.MustCompile(`(?m)^RestrictNamespaces=(.*)$`).FindStringSubmatch(text)[1])
		if name == "gatehouse-gateway@.service" { // it has no library
			if len(got) != 1 || got[0] != "yes" || strings.Contains(text, "=chroot") {
				t.Errorf("%s may make namespaces: %v", name, got)
			}
			continue
		}
		for _, kind := range got {
			if !want[kind] {
				t.Errorf("%s allows namespaces of the kind %s", name, kind)
			}
		}
		_, after, _ := strings.Cut(text, "SystemCallFilter=~@privileged") // the later line wins
		if len(got) != len(want) || !strings.Contains(after, "SystemCallFilter=chroot") {
			t.Errorf("%s keeps the extraction from shutting itself off: %v", name, got)
		}
	}
}
