package limittest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// planted are mistakes in the product's own state machines, each built in by
// the tag planted and chosen by its name, and the simulation that must find it.
var planted = map[string]struct{ test, what string }{
	"receive":    {"Limits", "a share's life is counted from receiving it"},
	"late":       {"Limits", "a reply counts although its subject was named again since"},
	"check":      {"Limits", "the clock is read before the share"},
	"restart":    {"Limits", "grants are lost when the authority restarts, and it does not wait"},
	"flush":      {"Limits", "an authority that was flushed is believed about tokens"},
	"windowless": {"Limits", "a share moves while its admissions are still in the window"},
	"precheck":   {"Limits", "a take checks and does not count"},
	"local":      {"Limits", "only this gateway's own tokens are read"},
	"refund":     {"Limits", "a refund after its window takes from what is still in it"},
}

func TestTheSimulationFindsEachPlantedMistake(t *testing.T) {
	if os.Getenv("GATEHOUSE_PLANTED") != "" {
		return // this is the child: it must not build itself again
	}
	program := filepath.Join(t.TempDir(), "planted")
	if out, err := exec.Command("go", "test", "-tags", "planted", "-c", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, p := range planted {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := exec.Command(program, "-test.run", "^TestSimulated"+p.test)
			c.Env = append(os.Environ(), "GATEHOUSE_PLANTED="+name, "GATEHOUSE_SEED=", "GATEHOUSE_SEEDS=1000")
			out, err := c.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "reproduces this") {
				t.Fatalf("%s: not found in 1000 seeds: %v\n%s", p.what, err, out)
			}
		})
	}
}
