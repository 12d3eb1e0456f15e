package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"gatehouse"
	"gatehouse/client"
	"gatehouse/verify/town"
)

// TestKillingDuringDocumentWork is the durability of the library: parts are
// killed, one after another, while files and documents are uploaded through
// every door, indexed, changed and deleted. What was acknowledged is there,
// byte for byte, and is found; what was acknowledged as gone is seen by nobody;
// every document comes to an end; and when the sweeper has been, blobs and index
// have what the store knows and nothing else.
func TestKillingDuringDocumentWork(t *testing.T) {
	d := newDesk(t, deskPlan(t))
	parts, kills, began := d.parts(), rounds(2), time.Now()
	for round := range kills {
		d.open()
		time.Sleep(time.Duration(200+rand.IntN(1000)) * time.Millisecond)
		part := parts[round%len(parts)]
		running := d.running.Load()
		part.kill()
		t.Logf("kill %d, of %s, with %d requests in flight", round+1, part.name, running)
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		d.must(part.start())
		if (round+1)%checkEvery == 0 || round+1 == kills {
			time.Sleep(time.Second) // a start compares index and store: what it mended shall not be all there is
			d.close()
			d.check()
		}
	}
	d.sweep()
	d.report(kills, time.Since(began))
}

// checkEvery is how many kills there are between two looks at everything.
const checkEvery = 5

// desk is an installation that works on documents.
type desk struct {
	*house
	collections []gatehouse.ID // that stay: one found by words alone, one embedded
	clerks      []*clerk

	stopped atomic.Bool
	running atomic.Int64 // requests under way
	group   sync.WaitGroup

	mu    sync.Mutex
	tally map[string]int // of what was asked, by how it ended
}

// deskPlan is one process, or control nodes, gateways and an S3 server, as
// VERIFY_TOPOLOGY says.
func deskPlan(t *testing.T) town.Plan {
	switch topology := os.Getenv("VERIFY_TOPOLOGY"); topology {
	case "":
	case "fleet":
		return town.Plan{Controls: 2, Gateways: []string{"local", "local"}, Objects: true}
	default:
		t.Fatalf("VERIFY_TOPOLOGY: %q is not known: leave it out, or say fleet", topology)
	}
	return town.Plan{}
}

func newDesk(t *testing.T, plan town.Plan) *desk {
	t.Helper()
	d := &desk{house: houseOf(t, plan), tally: map[string]int{}}
	d.stopped.Store(true)
	key := d.createKey("").Secret
	for i := range 8 {
		d.clerks = append(d.clerks, d.newClerk(key, i))
	}
	for _, model := range []string{"", "text-embedding-3-small"} {
		c, err := d.clerks[0].management.CreateCollection(t.Context(), &gatehouse.Collection{Name: "desk " + model, Model: model})
		d.must(err)
		d.collections = append(d.collections, c.ID)
	}
	return d
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// newClerk is at one gateway and one control node of those there are.
func (d *desk) newClerk(key string, i int) *clerk {
	d.t.Helper()
	gateway, management := d.Members[i%len(d.Members)].URL, "http://"+town.ManagementOf(d.Controls[i%len(d.Controls)])
	apiKey, err := client.ParseAPIKey(key)
	d.must(err)
	managementKey, err := client.ParseKey(d.key)
	d.must(err)
	c := &clerk{desk: d, keys: [2]string{key, d.key}, random: rand.New(rand.NewPCG(uint64(i), uint64(os.Getpid())))}
	c.files, err = client.NewFiles(gateway, apiKey)
	d.must(err)
	c.management, err = client.New(management, managementKey)
	d.must(err)
	c.gateway, c.control = d.dial(gateway), d.dial(management)
	return c
}

func (d *desk) dial(url string) *grpc.ClientConn {
	d.t.Helper()
	soon := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}, MinConnectTimeout: 5 * time.Second}
	conn, err := grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(soon))
	d.must(err)
	d.t.Cleanup(func() { conn.Close() })
	return conn
}

// parts are what is killed in turn, in an order that mixes kinds.
func (d *desk) parts() []part {
	process := func(p *town.Process) part {
		return part{p.Name, p.Kill, func() error {
			if err := p.Start(); err != nil {
				return err
			}
			return p.Await(60 * time.Second)
		}}
	}
	if d.Objects == nil {
		return []part{process(d.Controls[0])}
	}
	return []part{
		process(d.Controls[0]), {"the S3 server", d.Objects.Kill, d.Objects.Start}, process(d.Gateways[0]),
		process(d.Controls[1]), {"PostgreSQL", d.Postgres.Kill, d.Postgres.Start}, process(d.Gateways[1]),
	}
}

// open lets all clerks work; close waits until they have stopped.
func (d *desk) open() {
	if !d.stopped.Swap(false) {
		return
	}
	for _, c := range d.clerks {
		d.group.Go(func() {
			for !d.stopped.Load() {
				c.work()
			}
		})
	}
}

func (d *desk) close() {
	d.stopped.Store(true)
	d.group.Wait()
}

// sure asks until something is answered: a part was started a moment ago.
func (d *desk) sure(f func(context.Context) error) error {
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(d.t.Context(), 30*time.Second)
		err := f(ctx)
		cancel()
		if err == nil || !doubtful(err) || time.Now().After(deadline) {
			return err
		}
	}
}

func (d *desk) report(kills int, took time.Duration) {
	papers, deleted := 0, 0
	for _, c := range d.clerks {
		for _, p := range c.papers {
			papers++
			if p.file == gone {
				deleted++
			}
		}
	}
	d.t.Logf("%d kills in %v: %d files and documents acknowledged, %d of them gone again; %s", kills, took.Round(time.Second), papers, deleted, d.ends())
}

// ends is how what was asked ended.
func (d *desk) ends() string {
	var ok, lost int
	for what, n := range d.tally {
		if strings.HasSuffix(what, " ok") {
			ok += n
		} else {
			lost += n
		}
	}
	return fmt.Sprintf("%d requests answered, %d cut off or refused for the moment", ok, lost)
}
