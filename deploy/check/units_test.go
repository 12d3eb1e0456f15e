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
