package town

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/catalogue"
	"gatehouse/internal/engine"
	"gatehouse/internal/simulate"
)

// Plan says what stands in a town. The zero Plan is one process that is
// everything, on SQLite.
type Plan struct {
	Provider simulate.Options
	Environ  []string
	// Controls over PostgreSQL; zero is one process of role all, on SQLite, that
	// gateways may join none the less.
	Controls int
	Gateways []string // the cluster of each gateway process
	Redis    bool     // the authority; else control is
	// Objects has an S3 server for the files of the library, which embeds through
	// the first gateway; else each control node has a directory of its own.
	Objects bool
	Binary  string // of every process; this commit's unless said
}

// Town is a running installation.
type Town struct {
	T          testing.TB
	Dir        string
	Controls   []*Process // or the one process of role all
	Gateways   []*Process
	Members    []Member // of the gateways, in their order
	Postgres   *engine.Postgres
	Redis      *engine.Redis
	Objects    *engine.ObjectStore
	Bucket     engine.Bucket // of Objects
	Team, Key  string
	Management string // URL of the first control node
	// Wires between each gateway and control, each control node and PostgreSQL,
	// each gateway and Redis.
	ToControl, ToPostgres, ToRedis []*Wire
	Provider                       *simulate.Upstream
	ProviderURL                    string
	Client                         *http.Client
	addresses                      []string // of gateway processes
	plan                           Plan
}

// Member is where a gateway process is reached.
type Member struct{ Cluster, URL, Data string }

// New starts a town and waits until all of it serves. It is torn down with the
// test.
func New(t testing.TB, plan Plan) *Town {
	t.Helper()
	shipped, err := catalogue.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	plan.Provider.Models = shipped.Names()
	older := plan.Binary != ""
	if !older {
		plan.Binary = Binary(t)
	}
	w := &Town{
		T: t, Dir: t.TempDir(), Provider: simulate.New(plan.Provider), plan: plan,
		Client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	server := httptest.NewUnstartedServer(w.Provider)
	server.Config.Protocols = simulate.Protocols()
	server.Start()
	t.Cleanup(server.Close)
	w.ProviderURL = server.URL + "/v1"
	t.Cleanup(w.tearDown)
	if plan.Controls > 0 {
		w.database()
	}
	if plan.Redis {
		w.Redis = engine.NewRedis()
		w.must(w.Redis.Start())
		if older || plan.Controls == 0 {
			w.ageAuthority()
		}
	}
	for range plan.Gateways {
		w.addresses = append(w.addresses, FreeAddr(t))
	}
	if plan.Objects {
		w.objects()
	}
	w.controls()
	for i, cluster := range plan.Gateways {
		w.addGateway(i, cluster)
	}
	var group sync.WaitGroup
	for _, g := range w.Gateways {
		group.Go(func() {
			if err := g.Await(30 * time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return w
}

func (w *Town) must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

func (w *Town) tearDown() {
	for _, p := range append(slices.Clone(w.Gateways), w.Controls...) {
		p.Kill()
		if w.T.Failed() {
			w.T.Logf("the end of the log of %s:\n%s", p.Name, p.Tail(3000))
		}
	}
	if w.Postgres != nil {
		w.Postgres.Kill()
	}
	if w.Redis != nil {
		w.Redis.Kill()
	}
	if w.Objects != nil {
		w.Objects.Kill()
	}
	w.leaks()
}

// ageAuthority makes the memory of the authority two minutes old, as that of a
// server that has been up for long. A fresh one grants nothing for a while, since
// it cannot be told from one that forgot (docs/limits.md), and older programs and
// those that had a gateway before do not tell it that there was nothing.
func (w *Town) ageAuthority() {
	w.T.Helper()
	info, err := w.Redis.Do("INFO server")
	w.must(err)
	_, rest, _ := strings.Cut(info, "run_id:")
	run, _, _ := strings.Cut(rest, "\r")
	for group := range 16 {
		_, err := w.Redis.Do(fmt.Sprintf("SET gatehouse{%d}boot %s:%d", group, run, time.Now().Add(-2*time.Minute).UnixMicro()))
		w.must(err)
	}
}

// RequestRole is who control works as: no superuser, and without DDL.
const RequestRole = "gatehouse"

// database starts PostgreSQL and makes schema and role.
func (w *Town) database() {
	w.T.Helper()
	pg, err := engine.NewPostgres(w.Dir)
	w.must(err)
	w.Postgres = pg
	w.must(pg.Start())
	w.must(pg.CreateDatabase("gatehouse"))
	out, err := exec.Command(w.plan.Binary, "migrate", "--database", pg.DSN("gatehouse"), "--request-role", RequestRole).CombinedOutput()
	if err != nil {
		w.T.Fatalf("migrate: %v\n%s", err, out)
	}
}

// objects starts an S3 server and has all of control keep files there.
func (w *Town) objects() {
	w.T.Helper()
	var err error
	w.Objects, err = engine.NewObjectStore(w.Dir)
	w.must(err)
	w.must(w.Objects.Start())
	b, err := w.Objects.NewBucket()
	w.must(err)
	w.Bucket = b
	access, secret := filepath.Join(w.Dir, "s3-access"), filepath.Join(w.Dir, "s3-secret")
	w.must(os.WriteFile(access, []byte(b.AccessKey), 0o600))
	w.must(os.WriteFile(secret, []byte(b.SecretKey), 0o600))
	w.plan.Environ = append(slices.Clone(w.plan.Environ), "GATEHOUSE_LIBRARY_BLOBS=s3://"+b.Name+"/files", "GATEHOUSE_LIBRARY_S3_ENDPOINT="+b.Endpoint,
		"GATEHOUSE_LIBRARY_S3_REGION="+b.Region, "GATEHOUSE_LIBRARY_S3_ACCESS_KEY_FILE="+access, "GATEHOUSE_LIBRARY_S3_SECRET_KEY_FILE="+secret)
	if len(w.addresses) > 0 {
		w.plan.Environ = append(w.plan.Environ, "GATEHOUSE_LIBRARY_GATEWAY=http://"+w.addresses[0])
	}
}

// DSN is the database as the request role, without a wire.
func (w *Town) DSN() string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/gatehouse?sslmode=disable", RequestRole, w.Postgres.Port)
}

// dsn is the database over a wire, as the request role.
func (w *Town) dsn(wire *Wire) string {
	return "postgres://" + RequestRole + "@" + wire.Addr() + "/gatehouse?sslmode=disable"
}

// DataOf is the data directory of a control node, and of the one process that
// is everything.
func (w *Town) DataOf(control int) string {
	if w.plan.Controls == 0 {
		return filepath.Join(w.Dir, "data")
	}
	return filepath.Join(w.Dir, fmt.Sprintf("control-%d", control))
}

// Secrets is the directory of the installation's secrets.
func (w *Town) Secrets() string {
	if w.plan.Controls == 0 {
		return filepath.Join(w.Dir, "data", "secrets")
	}
	return filepath.Join(w.Dir, "secrets")
}

// Start starts every process again, control first, and waits until all serve.
func (w *Town) Start() {
	w.T.Helper()
	for _, p := range append(slices.Clone(w.Controls), w.Gateways...) {
		w.must(p.Start())
	}
	for _, p := range append(slices.Clone(w.Controls), w.Gateways...) {
		w.must(p.Await(30 * time.Second))
	}
}

// Kill ends every process by SIGKILL.
func (w *Town) Kill() {
	for _, p := range append(slices.Clone(w.Gateways), w.Controls...) {
		p.Kill()
	}
	w.Client.CloseIdleConnections()
}

// Stop drains gateways, then control.
func (w *Town) Stop() {
	w.T.Helper()
	for _, p := range append(slices.Clone(w.Gateways), w.Controls...) {
		if err := p.Stop(); err != nil {
			w.T.Error(err)
		}
	}
	w.Client.CloseIdleConnections()
}

// SetUpstream declares another upstream from the next start on.
func (w *Town) SetUpstream(flag string) {
	for _, p := range w.Controls {
		p.Args[slices.Index(p.Args, "--upstream")+1] = flag
	}
}

// Metrics are those of every process.
func (w *Town) Metrics() string {
	var all strings.Builder
	for _, p := range append(slices.Clone(w.Controls), w.Gateways...) {
		if i := slices.Index(p.Args, "--metrics"); i >= 0 {
			if resp, err := w.Client.Get("http://" + p.Args[i+1] + "/metrics"); err == nil {
				io.Copy(&all, resp.Body)
				resp.Body.Close()
			}
		}
	}
	return all.String()
}

// Log is what all processes wrote.
func (w *Town) Log() string {
	var all strings.Builder
	for _, p := range append(slices.Clone(w.Controls), w.Gateways...) {
		all.WriteString(p.Log())
	}
	return all.String()
}

func (w *Town) controls() {
	w.T.Helper()
	boot := filepath.Join(w.Dir, "bootstrap.json")
	for i := range max(1, w.plan.Controls) {
		management, metrics := FreeAddr(w.T), FreeAddr(w.T)
		p := &Process{
			Name: fmt.Sprintf("control %d", i), Binary: w.plan.Binary, ReadyURL: "http://" + metrics + "/readyz",
			Args: []string{"serve", "--data", w.DataOf(i), "--secrets", w.Secrets(), "--bootstrap-file", boot,
				"--upstream", w.ProviderURL, "--management", management, "--metrics", metrics},
			Environ: append([]string{"GATEHOUSE_MANAGEMENT_RATE=100000"}, w.plan.Environ...),
		}
		if w.plan.Controls > 0 {
			wire := NewWire(w.T, fmt.Sprintf("127.0.0.1:%d", w.Postgres.Port))
			w.ToPostgres = append(w.ToPostgres, wire)
			p.Args = append(p.Args, "--role", "control", "--database", w.dsn(wire))
			if w.Redis != nil {
				p.Args = append(p.Args, "--authority", w.Redis.URL()) // it says that there never was a gateway
			}
		} else {
			gateway := FreeAddr(w.T)
			p.Args = append(p.Args, "--gateway", gateway)
			p.ReadyURL = "http://" + gateway + "/readyz"
			w.Members = append(w.Members, Member{"local", "http://" + gateway, w.DataOf(0)})
		}
		if i == 0 {
			w.Management = "http://" + management
		}
		w.Controls = append(w.Controls, p)
		w.must(p.Start())
		w.must(p.Await(30 * time.Second))
	}
	text, err := os.ReadFile(boot)
	w.must(err)
	var b struct {
		TeamID string `json:"team_id"`
		Key    string `json:"management_key"`
	}
	w.must(json.Unmarshal(text, &b))
	w.Team, w.Key = b.TeamID, b.Key
}

// addGateway lets one more process join a cluster.
func (w *Town) addGateway(i int, cluster string) {
	w.T.Helper()
	if status, answer := w.Manage("GET", "/admin/v1/clusters/"+cluster, ""); status == http.StatusNotFound {
		if status, answer := w.Manage("POST", "/admin/v1/clusters", fmt.Sprintf(`{"name":%q}`, cluster)); status != http.StatusOK {
			w.T.Fatalf("making cluster %s: %d %s", cluster, status, answer)
		}
	} else if status != http.StatusOK {
		w.T.Fatalf("cluster %s: %d %s", cluster, status, answer)
	}
	token := w.joinToken(cluster)
	address, metrics := w.addresses[i], FreeAddr(w.T)
	data := filepath.Join(w.Dir, fmt.Sprintf("gateway-%d", i))
	p := &Process{
		Name: fmt.Sprintf("gateway %d of %s", i, cluster), Binary: w.plan.Binary, ReadyURL: "http://" + address + "/readyz",
		Args:    []string{"serve", "--role", "gateway", "--data", data, "--gateway", address, "--metrics", metrics, "--join-token", token},
		Environ: w.plan.Environ,
	}
	// A gateway knows every control node, over one wire each; cutting cuts all.
	for _, c := range w.Controls {
		wire := NewWire(w.T, ManagementOf(c))
		w.ToControl = append(w.ToControl, wire)
		p.Args = append(p.Args, "--control", "http://"+wire.Addr())
	}
	if w.Redis != nil {
		wire := NewWire(w.T, fmt.Sprintf("127.0.0.1:%d", w.Redis.Port))
		w.ToRedis = append(w.ToRedis, wire)
		p.Args = append(p.Args, "--authority", "redis://"+wire.Addr())
	}
	w.Gateways = append(w.Gateways, p)
	w.Members = append(w.Members, Member{cluster, "http://" + address, data})
	w.must(p.Start())
}

// joinToken is one that makes one process a gateway of a cluster.
func (w *Town) joinToken(cluster string) string {
	w.T.Helper()
	status, answer := w.Manage("POST", "/admin/v1/join-tokens", fmt.Sprintf(`{"cluster":%q}`, cluster))
	var made struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(answer, &made); err != nil || status != http.StatusOK {
		w.T.Fatalf("a join token: %d %s", status, answer)
	}
	return made.Token
}

// Rejoined starts gateway i with a new join token, as after the loss of its
// data directory, and waits until it serves.
func (w *Town) Rejoined(i int) {
	w.T.Helper()
	p := w.Gateways[i]
	p.Args[slices.Index(p.Args, "--join-token")+1] = w.joinToken(w.Members[i].Cluster)
	w.must(p.Start())
	w.must(p.Await(30 * time.Second))
}

// ManagementOf is the address of a control node's management plane.
func ManagementOf(p *Process) string {
	for i, a := range p.Args {
		if a == "--management" {
			return p.Args[i+1]
		}
	}
	return ""
}

// Partition cuts gateway i from every control node; Rejoin ends that.
func (w *Town) Partition(i int) {
	for _, wire := range w.controlWires(i) {
		wire.Cut()
	}
}

// Rejoin ends a Partition.
func (w *Town) Rejoin(i int) {
	for _, wire := range w.controlWires(i) {
		wire.Heal()
	}
}

func (w *Town) controlWires(i int) []*Wire {
	n := len(w.Controls)
	return w.ToControl[i*n : (i+1)*n]
}

// Manage calls the management plane of the first control node; status 0 means
// that no answer came.
func (w *Town) Manage(method, path, body string) (status int, answer []byte) {
	return w.ManageAt(w.Management, method, path, body)
}

// ManageAt calls the management plane at a URL.
func (w *Town) ManageAt(base, method, path, body string) (status int, answer []byte) {
	req, _ := http.NewRequest(method, base+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+w.Key)
	return w.Do(req)
}

// Chat asks a gateway with a key; id becomes the request's id.
func (w *Town) Chat(gateway, key, id, body string) (status int, answer []byte) {
	req, _ := http.NewRequest("POST", gateway+"/v1/chat/completions", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-Id", id)
	return w.Do(req)
}

// Do sends a request and reads its answer whole.
func (w *Town) Do(req *http.Request) (int, []byte) {
	resp, err := w.Client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, answer
	}
	return resp.StatusCode, answer
}

// Key is a created API key.
type Key struct {
	ID     string `json:"apiKeyId"`
	Secret string `json:"apiKey"`
}

// CreateKey makes a key that may do everything, and waits until every gateway
// enforces it.
func (w *Town) CreateKey(members string) Key {
	w.T.Helper()
	if members != "" {
		members = "," + members
	}
	status, answer := w.Manage("POST", "/auth/teams/"+w.Team+"/api-keys", `{"name":"verify","acls":["api-key:model:*","api-key:endpoint:*"]`+members+`}`)
	var k Key
	if err := json.Unmarshal(answer, &k); err != nil || status != http.StatusOK {
		w.T.Fatalf("creating a key: %d %s", status, answer)
	}
	if status, answer := w.Manage("GET", "/auth/api-keys/"+k.ID+"/propagation?wait=10s", ""); status != http.StatusOK || !bytes.Contains(answer, []byte("true")) {
		w.T.Fatalf("propagation: %d %s", status, answer)
	}
	return k
}
