package gatehouse_test

import (
	"go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// floors says how high each package stands. Imports go down only: a package may
// import what stands strictly lower. The first entry that is a prefix of the
// package's path decides; an unknown package fails the test until it has a
// floor here and a sentence in its doc comment.
var floors = []struct {
	path  string
	floor int
	why   string // what breaks when something lower imports it
}{
	{"internal/store/storetest", 35, "the suite drives any implementation of the store's contract"},
	{"internal/store/postgres", 34, "a driver: named only by serve and by tests, so that no rule depends on an engine"},
	{"internal/store/sqlite", 34, "a driver: named only by serve and by tests, so that no rule depends on an engine"},
	{"internal/store/sqlstore", 33, "SQL shared by the drivers: whoever imports it knows there is a database"},
	{"internal/store", 20, "the contract of the truth; it knows no engine"},
	{"internal/secret", 10, "keys and seals: no I/O but its own files"},
	{"internal/audit", 10, "leaf format and proofs: an offline verifier needs nothing else"},
	{"internal/llm", 10, "wire knowledge without connections"},
	{"internal/limit/limittest", 16, "the suite drives any authority"},
	{"internal/payment", 45, "drivers of control's port for payments: named by serve and by tests"},
	{"internal/limit/valkey", 34, "a driver: named only by serve and by tests"},
	{"internal/mail", 34, "a driver of control's port for letters: named by serve and by tests"},
	{"internal/signin", 34, "a driver of control's port for identities: named by serve and by tests"},
	{"internal/library/indextest", 36, "the suite drives any document index"},
	{"internal/library/index/sqlite", 34, "a driver: named only by serve and by tests"},
	{"internal/library/index/postgres", 34, "a driver: named only by serve and by tests"},
	{"internal/library/index/sqlindex", 33, "SQL shared by the drivers of the document index"},
	{"internal/library/index", 20, "the contract of the document index; it knows no engine"},
	{"internal/library/blob/blobtest", 36, "the suite drives any blob store"},
	{"internal/library/blob/dir", 34, "a driver: named only by serve and by tests"},
	{"internal/library/blob/s3", 34, "a driver: named only by serve and by tests"},
	{"internal/library/blob", 10, "the contract of blobs; it knows no engine"},
	{"internal/library/embed", 34, "a driver of the library's port for models: named only by serve and by tests"},
	{"internal/library/assertion", 10, "what a gateway says of a request that it admitted, and how it is believed"},
	{"internal/library/filter", 10, "a grammar and what it means: no I/O, so that SQL can be held to it"},
	{"internal/openapi", 5, "a document and its page; it knows no route"},
	{"internal/webhook", 34, "a driver of control's port for messages: named by serve and by tests"},
	{"internal/reach", 5, "addresses that may be dialled; whoever dials asks"},
	{"internal/inside", 5, "a server without an address; it knows nothing of what it serves"},
	{"internal/crowd", 5, "arithmetic of who is at something; it knows nothing of what that is"},
	{"internal/durable", 5, "files that a power cut leaves whole; it knows nothing of what is in them"},
	{"internal/engine", 5, "starts real servers for tests; nothing that runs imports it"},
	{"internal/limit", 10, "arithmetic without I/O and clock, so that it can be simulated"},
	{"internal/purse", 10, "arithmetic of money, with what runs it: so that it can be simulated; it knows no journal and no wire"},
	{"internal/catalogue", 10, "shipped data"},
	{"internal/library/chunk", 10, "arithmetic of text without I/O and clock: the same text gives the same chunks"},
	{"internal/library/extract", 10, "parsers of strangers' documents and the process they run in; they know nothing of what the text is for"},
	{"internal/billing", 10, "what invoices come to, and how they are written down: no I/O, so that it can be checked against an oracle"},
	{"gen/admin", 12, "generated wire types that embed others"},
	{"gen/billing", 12, "generated wire types that embed others"},
	{"gen/people", 13, "generated wire types that embed others"},
	{"gen/adminbilling", 12, "generated wire types that embed others"},
	{"gen", 10, "generated wire types"},
	{"internal/feed/feedtest", 36, "the suite drives any feed over a real store"},
	{"internal/feed", 30, "the tail of changes and the replica: reads the store's contract"},
	{"internal/meter", 30, "journal, ingest, analysis: writes through the store's contract"},
	{"internal/fleet", 40, "a gateway's side of the wire to control: carries feed, usage and limits"},
	{"internal/library", 45, "use-cases of documents: what control and gateways both reach"},
	{"internal/control/managementtest", 60, "the suite drives control and the client alike"},
	{"internal/control", 50, "use-cases: what may happen and to whom"},
	{"internal/gateway", 50, "the data plane: must be able to run without control, a store or an API"},
	{"internal/api/xai", 65, "a face: translates and nothing else"},
	{"internal/api/admin", 65, "a face: translates and nothing else"},
	{"internal/api/v1", 65, "a face: translates and nothing else"},
	{"internal/api/library", 65, "a face: what gateways ask of the library"},
	{"internal/api/fleet", 65, "a face: what gateways in other processes talk to"},
	{"internal/api/apitest", 45, "a stand-in for control, for tests of faces"},
	{"internal/api", 40, "the edge kit that faces share"},
	{"internal/observe", 60, "what leaves the machine is made of what the gateway tells; nothing that serves may depend on it"},
	{"internal/simulate", 60, "an upstream, seen from outside"},
	{"client", 60, "the contracts over HTTP"},
	{"internal/serve", 80, "assembles; the only place that names drivers"},
	{"cmd/", 90, "main"},
	{"conformance", 95, "the product, seen by official SDKs"},
	{"bench", 95, "the product, timed beside others"},
	{"deploy/check", 95, "what is deployed, held to its schemas; a module of its own"},
	{"verify/town", 94, "the product in any topology, for the tests above"},
	{"verify", 95, "the product, tortured"},
}

// netHTTP and databaseSQL are who may speak HTTP and SQL: everybody else would
// be a rule in a handler, or a query outside the store.
var (
	netHTTP = []string{"internal/api", "internal/gateway", "internal/llm", "internal/openapi", "client", "internal/feed", "internal/fleet", "internal/meter", "internal/payment", "internal/signin", "internal/webhook",
		"internal/simulate", "internal/inside", "internal/library/embed", "internal/library/blob/s3", "internal/serve", "internal/observe", "cmd/", "conformance", "bench", "verify", "gen"}
	databaseSQL = []string{"internal/store/", "internal/library/index/"}
)

func TestImportsGoDown(t *testing.T) {
	for dir, pkg := range packages(t) {
		from, ok := floorOf(dir)
		if !ok {
			t.Errorf("%s has no floor: add it to floors with the reason, or put the code where it belongs", dir)
			continue
		}
		for _, imp := range pkg.Imports {
			rel, inside := strings.CutPrefix(imp, "gatehouse/")
			switch {
			case inside:
				to, _ := floorOf(rel)
				nested := strings.HasPrefix(rel, dir+"/") // a package may use its own parts
				if to >= from && !nested {
					t.Errorf("%s (floor %d) imports %s (floor %d): imports go down only", dir, from, rel, to)
				}
			case imp == "net/http" && !under(dir, netHTTP):
				t.Errorf("%s imports net/http: HTTP belongs to faces, clients and the gateway", dir)
			case (imp == "database/sql" || strings.HasPrefix(imp, "github.com/jackc/")) && !under(dir, databaseSQL):
				t.Errorf("%s imports %s: SQL belongs under internal/store", dir, imp)
			case from == 0 && strings.Contains(imp, "."):
				t.Errorf("the root package imports %s: only the standard library, so that everything can stand on it", imp)
			}
		}
	}
}

// The gateway is what a stolen host has: it must not be able to hold a database
// credential or to mint authority.
func TestTheGatewayKnowsNeitherStoreNorControl(t *testing.T) {
	for _, imp := range packages(t)["internal/gateway"].Imports {
		for _, banned := range []string{"gatehouse/internal/store", "gatehouse/internal/control", "gatehouse/internal/api"} {
			if imp == banned || strings.HasPrefix(imp, banned+"/") {
				t.Errorf("internal/gateway imports %s", imp)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for dir, pkg := range packages(t) {
		if pkg.Doc == "" && !strings.HasPrefix(dir, "gen") {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// Above 600 lines a file holds more than one thing.
func TestFilesStayReadable(t *testing.T) {
	for dir, pkg := range packages(t) {
		if strings.HasPrefix(dir, "gen") {
			continue
		}
		for _, f := range pkg.GoFiles {
			b, err := os.ReadFile(filepath.Join(dir, f))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(b), "\n"); n > 600 {
				t.Errorf("%s/%s has %d lines; split it", dir, f, n)
			}
		}
	}
}

func packages(t *testing.T) map[string]*build.Package {
	t.Helper()
	found := map[string]*build.Package{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		name := d.Name()
		if path != "." && (strings.HasPrefix(name, ".") || slices.Contains([]string{"testdata", "tools", "node_modules", "proto", "docs", "web", "data", "bin"}, name)) {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != "." {
			return filepath.SkipDir // a module of its own, with dependencies that the product does without
		}
		if pkg, err := build.ImportDir(path, build.ImportComment); err == nil {
			found[path] = pkg
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func floorOf(dir string) (int, bool) {
	if dir == "." {
		return 0, true
	}
	for _, f := range floors {
		if dir == f.path || strings.HasPrefix(dir, strings.TrimSuffix(f.path, "/")+"/") {
			return f.floor, true
		}
	}
	return 0, false
}

func under(dir string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool {
		return dir == strings.TrimSuffix(p, "/") || strings.HasPrefix(dir, strings.TrimSuffix(p, "/")+"/")
	})
}
