package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"gatehouse/internal/engine"
)

// The shape of the measurement of the goal.
const (
	fleetGateways = 8
	fleetChanges  = 200
	loadPerMember = 4 // connections that load each gateway
	saturation    = 5 * time.Second
	probeEvery    = 2 * time.Millisecond
	changeTimeout = 10 * time.Second
)

// runPropagation measures how soon a change is enforced everywhere: `go run
// ./bench -only propagation`. Eight gateways of two clusters follow one control
// node over PostgreSQL, with limits at Redis. They are loaded until nothing is
// left, then with half of that; and then a key is disabled and enabled in turn,
// while a probe at each gateway asks until it sees the change.
func runPropagation(p plan) error {
	s, err := startSpread(p)
	defer s.stop()
	if err != nil {
		return err
	}
	full := s.load(0).over(saturation)
	half := s.load(full / 2)
	time.Sleep(time.Second)
	sent, began := half.sent.Load(), time.Now()
	waits, err := s.changes(max(int(fleetChanges*p.scale), 10))
	rate := float64(half.sent.Load()-sent) / time.Since(began).Seconds()
	failed := half.stop()
	if err != nil {
		return err
	}
	fmt.Printf("\npropagation: %s, %d CPUs, %s; %d gateways in 2 clusters, PostgreSQL, Redis; %d changes, %.0f requests/s of %.0f/s, %d of them failed\n\n",
		cpuModel(), runtime.NumCPU(), runtime.Version(), fleetGateways, len(waits), rate, full, failed)
	tw := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "what\tgoal p50\tp50\tgoal p99\tp99\tmax")
	line := func(what, goal50, goal99 string, of func(wait) time.Duration) {
		var d []time.Duration
		for _, w := range waits {
			d = append(d, of(w))
		}
		slices.Sort(d)
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", what, goal50, millisOf(d[len(d)/2]), goal99, millisOf(d[len(d)*99/100]), millisOf(d[len(d)-1]))
	}
	line("change acknowledged → enforced on all", "≤ 30 ms", "≤ 150 ms", func(w wait) time.Duration { return max(0, w.enforced-w.acknowledged) })
	line("change sent → enforced on all", "", "", func(w wait) time.Duration { return w.enforced })
	line("change sent → acknowledged", "", "", func(w wait) time.Duration { return w.acknowledged })
	return tw.Flush()
}

// spread is an installation of several clusters.
type spread struct {
	pg       *engine.Postgres
	redis    *engine.Redis
	all      []*target
	control  *target
	gateways []*target
	loaded   []string // secrets of the keys that the load uses
	secret   string   // of the key that is changed
	id       string
}

func (s *spread) stop() {
	stopAll(s.all)
	if s.redis != nil {
		s.redis.Kill()
	}
	if s.pg != nil {
		s.pg.Kill()
	}
}

func startSpread(p plan) (s *spread, err error) {
	s = new(spread)
	if s.pg, err = startPostgres(p.dir, "gatehouse"); err != nil {
		return s, err
	}
	redis := engine.NewRedis()
	if err := redis.Start(); err != nil {
		return s, err
	}
	s.redis = redis
	upstream, _, err := startUpstream(p)
	s.all = append(s.all, upstream)
	if err != nil {
		return s, err
	}
	s.control, err = startControl(p, asRequests(s.pg.DSN("gatehouse")), "--authority", redis.URL())
	s.all = append(s.all, s.control)
	if err != nil {
		return s, err
	}
	p.keys = min(p.keys, 1000)
	if err := createKeys(p, s.control); err != nil {
		return s, err
	}
	text, err := os.ReadFile(s.control.keys)
	if err != nil {
		return s, err
	}
	s.loaded = strings.Fields(string(text))
	if err := s.changed(); err != nil {
		return s, err
	}
	begun, clusters := time.Now(), []string{"east", "west"}
	for _, name := range clusters {
		if err := s.control.manage("POST", "/admin/v1/clusters", fmt.Sprintf(`{"name":%q}`, name), nil); err != nil {
			return s, err
		}
	}
	for i := range fleetGateways {
		g, err := startGateway(p, s.control, fmt.Sprint("gateway ", i), clusters[i%len(clusters)], "--authority", redis.URL())
		s.all, s.gateways = append(s.all, g), append(s.gateways, g)
		if err != nil {
			return s, err
		}
	}
	for _, g := range s.gateways {
		if err := g.admits(); err != nil {
			return s, err
		}
	}
	time.Sleep(time.Until(begun.Add(settled)))
	return s, nil
}

// changed makes the key that is changed.
func (s *spread) changed() error {
	var made struct{ APIKeyID, APIKey string }
	body := `{"name":"changed","acls":["api-key:model:*","api-key:endpoint:*"]}`
	err := s.control.manage("POST", "/auth/teams/"+s.control.team+"/api-keys", body, &made)
	s.id, s.secret = made.APIKeyID, made.APIKey
	return err
}

// wait is how long after it was sent a change was acknowledged, and enforced
// at the last gateway.
type wait struct{ acknowledged, enforced time.Duration }

// changes disables and enables the key in turn.
func (s *spread) changes(n int) (out []wait, err error) {
	probes := make([]*exchange, len(s.gateways))
	for i, g := range s.gateways {
		if probes[i], err = dial(g.url); err != nil {
			return nil, err
		}
		defer probes[i].Close()
	}
	ask := []byte("GET /v1/me HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer " + s.secret + "\r\n\r\n")
	for i := range n {
		w, err := s.change(probes, ask, i%2 == 0)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
		time.Sleep(20 * time.Millisecond) // changes that chase each other would share a batch
	}
	return out, nil
}

// change makes one and waits for it. A probe counts when its answer has come,
// so the truth is earlier by up to one exchange and one pause.
func (s *spread) change(probes []*exchange, ask []byte, disabled bool) (w wait, err error) {
	want := http.StatusOK
	if disabled {
		want = http.StatusForbidden
	}
	seen, errs := make([]time.Duration, len(probes)), make([]error, len(probes))
	began := time.Now()
	var group sync.WaitGroup
	for i, c := range probes {
		group.Go(func() {
			for errs[i] == nil {
				var status int
				status, _, errs[i] = c.do(ask)
				if seen[i] = time.Since(began); status == want {
					return
				}
				if errs[i] == nil && seen[i] > changeTimeout {
					errs[i] = fmt.Errorf("gateway %d does not enforce a change after %s: status %d", i, changeTimeout, status)
				}
				time.Sleep(probeEvery)
			}
		})
	}
	err = s.control.manage("PUT", "/auth/api-keys/"+s.id, fmt.Sprintf(`{"apiKey":{"disabled":%t},"fieldMask":"disabled"}`, disabled), nil)
	w.acknowledged = time.Since(began)
	group.Wait()
	w.enforced = slices.Max(seen)
	return w, cmp.Or(append(errs, err)...)
}

// exchange is one connection that asks and reads the answer: what it costs
// would be taken from the gateways, so there is no client of net/http.
type exchange struct {
	net.Conn
	r *bufio.Reader
}

func dial(url string) (*exchange, error) {
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return nil, err
	}
	return &exchange{c, bufio.NewReaderSize(c, 16<<10)}, nil
}

func (e *exchange) do(request []byte) (status int, answer string, err error) {
	if _, err := e.Write(request); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(e.r, nil)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// chat is a request for a completion.
func chat(secret, body string) []byte {
	return fmt.Appendf(nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		secret, len(body), body)
}

// pressure is load on every gateway.
type pressure struct {
	ended        atomic.Bool
	group        sync.WaitGroup
	sent, failed atomic.Int64
}

// load asks all gateways as fast as they answer, or so many times a second
// altogether.
func (s *spread) load(perSecond float64) *pressure {
	l := new(pressure)
	var pause time.Duration
	if perSecond > 0 {
		pause = time.Duration(float64(len(s.gateways)*loadPerMember) / perSecond * float64(time.Second))
	}
	for i := range len(s.gateways) * loadPerMember {
		l.group.Go(func() { l.ask(s.gateways[i%len(s.gateways)], s.loaded, i, pause) })
	}
	return l
}

// ask chats with every key in turn, at a pace.
func (l *pressure) ask(g *target, secrets []string, n int, pause time.Duration) {
	var c *exchange
	next := time.Now().Add(time.Duration(n) * pause / (fleetGateways * loadPerMember))
	for ; !l.ended.Load(); n++ {
		time.Sleep(time.Until(next))
		next = next.Add(pause)
		err := error(nil)
		if c == nil {
			if c, err = dial(g.url); err != nil {
				l.failed.Add(1)
				continue
			}
		}
		status, answer, err := c.do(chat(secrets[n%len(secrets)], plainBody))
		l.sent.Add(1)
		if err != nil || status != http.StatusOK {
			if l.failed.Add(1) == 1 {
				fmt.Fprintln(os.Stderr, g.name, "answered", status, answer, err)
			}
		}
		if err != nil {
			c.Close()
			c = nil
		}
	}
	if c != nil {
		c.Close()
	}
}

// over is the rate of a load that ends after so long.
func (l *pressure) over(d time.Duration) (perSecond float64) {
	time.Sleep(d)
	l.stop()
	return float64(l.sent.Load()) / d.Seconds()
}

func (l *pressure) stop() (failed int64) {
	l.ended.Store(true)
	l.group.Wait()
	return l.failed.Load()
}
