package limittest_test

import (
	"os"
	"strconv"
	"testing"

	"gatehouse/internal/limit/limittest"
)

// seeds is how many seeds each simulation runs: GATEHOUSE_SEEDS, or a fiftieth
// of what is run before a release.
func seeds(t testing.TB) uint64 {
	if s := os.Getenv("GATEHOUSE_SEEDS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return 20
}

func simulate(t *testing.T, run func(uint64) error) {
	t.Helper()
	if s := os.Getenv("GATEHOUSE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if err := run(n); err != nil {
			t.Fatal(err)
		}
		return
	}
	for seed := range seeds(t) {
		if err := run(seed); err != nil {
			t.Fatalf("GATEHOUSE_SEED=%d reproduces this: %v", seed, err)
		}
	}
}

func TestSimulatedLimitsNeverOvershoot(t *testing.T) { simulate(t, limittest.SimulateLimits) }

func TestSimulatedStrictKeysDieInTime(t *testing.T) {
	simulate(t, func(seed uint64) error { return limittest.SimulateStrict(seed, "") })
}

// A simulation that finds nothing proves something only if it would find the
// mistakes that people make here.
func TestTheSimulationFindsEachMistakeOfStrictLeases(t *testing.T) {
	for _, mistake := range limittest.StrictMistakes() {
		if !found(func(seed uint64) error { return limittest.SimulateStrict(seed, mistake) }) {
			t.Errorf("%s: not found in %d seeds", mistake, plantedSeeds)
		}
	}
}

// plantedSeeds is how many seeds a planted mistake may hide from.
const plantedSeeds = 1000

func found(run func(uint64) error) bool {
	for seed := range uint64(plantedSeeds) {
		if run(seed) != nil {
			return true
		}
	}
	return false
}
