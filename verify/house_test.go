package verify

import (
	"net/http"
	"os"
	"strconv"
	"testing"

	"gatehouse/internal/simulate"
	"gatehouse/verify/town"
)

// house is an installation of real processes in front of a simulated provider
// that lives in the test and survives every kill. Tests talk to its first
// gateway. VERIFY_TOPOLOGY=fleet makes it two control nodes over PostgreSQL,
// gateways of two clusters and a Redis, with not a line of the tests changed.
type house struct {
	*town.Town
	t                   *testing.T
	dir, binary         string
	gateway, management string
	team, key           string
	upstream            *simulate.Upstream
	upstreamURL         string
	secrets             []string // made along the way, for the canary search
	client              *http.Client
}

func TestMain(m *testing.M) {
	code := m.Run()
	town.Clean()
	os.Exit(code)
}

// newHouse starts a house of the topology that the environment names; opt
// shapes its provider.
func newHouse(t *testing.T, opt simulate.Options, environ ...string) *house {
	t.Helper()
	return houseOf(t, planned(t, opt, environ...))
}

// planned is the topology that the environment names.
func planned(t *testing.T, opt simulate.Options, environ ...string) town.Plan {
	t.Helper()
	plan := town.Plan{Provider: opt, Environ: environ}
	switch topology := os.Getenv("VERIFY_TOPOLOGY"); topology {
	case "":
	case "fleet":
		plan.Controls, plan.Gateways, plan.Redis = 2, []string{"local", "west"}, true
	default:
		t.Fatalf("VERIFY_TOPOLOGY: %q is not known: leave it out, or say fleet", topology)
	}
	return plan
}

// newLoneHouse is one process on SQLite, for what looks into its files.
func newLoneHouse(t *testing.T, opt simulate.Options, environ ...string) *house {
	t.Helper()
	return houseOf(t, town.Plan{Provider: opt, Environ: environ})
}

func houseOf(t *testing.T, plan town.Plan) *house {
	t.Helper()
	w := town.New(t, plan)
	return &house{
		Town: w, t: t, dir: w.Dir, binary: town.Binary(t), gateway: w.Members[0].URL, management: w.Management,
		team: w.Team, key: w.Key, upstream: w.Provider, upstreamURL: w.ProviderURL, client: w.Client,
	}
}

func (h *house) start() { h.t.Helper(); h.Start() }
func (h *house) kill()  { h.Kill() }
func (h *house) stop()  { h.t.Helper(); h.Stop() }

func (h *house) manage(method, path, body string) (status int, answer []byte) {
	return h.Manage(method, path, body)
}

func (h *house) chat(key, id, body string) (status int, answer []byte) {
	return h.Chat(h.gateway, key, id, body)
}

func (h *house) do(req *http.Request) (int, []byte) { return h.Do(req) }

type key = town.Key

func (h *house) createKey(members string) key { h.t.Helper(); return h.CreateKey(members) }

func freeAddr(t *testing.T) string { return town.FreeAddr(t) }

// rounds is how often a check repeats: few under make test, or as many as
// make verify-NAME says.
func rounds(few int) int {
	if n, err := strconv.Atoi(os.Getenv("VERIFY_ROUNDS")); err == nil {
		return n
	}
	return few
}
