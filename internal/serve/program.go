package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gatehouse"
	"gatehouse/internal/feed"
	"gatehouse/internal/gateway"
	"gatehouse/internal/gateway/rpc"
	"gatehouse/internal/library"
	"gatehouse/internal/limit"
	"gatehouse/internal/meter"
	"gatehouse/internal/observe"
	"gatehouse/internal/store"
)

// Process is what the program has besides its configuration.
type Process struct {
	Version  string
	Stderr   io.Writer
	Terminal bool        // standard error is one: the first key may be shown there
	Ready    func(Addrs) // called once all listeners answer; may be nil
	// HoldUsage leaves usage in the journal. It is for the bench, which measures
	// what a gateway costs without the control plane in the same process.
	HoldUsage bool
}

// Addrs are the addresses that listeners ended up with.
type Addrs struct{ Gateway, Management, Metrics string }

// drainTime is how long a stop waits for running streams and for usage to be
// ingested.
const drainTime = 30 * time.Second

// stepTime is what every step of a stop may take, however long those before it
// did: a stream that outlasts the drain must not cost the usage of all others
// its ingestion.
const stepTime = 5 * time.Second

// farewell is how long a gateway of several goes on accepting after /readyz says
// that it stops: a balancer that looks that often sends it nothing any more when
// its listener closes, which resets connections that wait to be accepted.
const farewell = 500 * time.Millisecond

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// Run serves until ctx ends, then drains and stops in reverse order.
func Run(ctx context.Context, cfg Config, proc Process) error {
	ctx = store.System(ctx)
	if proc.Stderr == nil {
		proc.Stderr = os.Stderr
	}
	log, out := newLogger(cfg.Log, proc.Stderr)
	flushing, flushed := context.WithCancel(context.Background())
	var flusher sync.WaitGroup
	flusher.Go(func() { out.keep(flushing) })
	defer flusher.Wait()
	defer flushed()
	if err := cfg.refuseMember(); err != nil {
		return err
	}
	h, err := open(ctx, cfg, log)
	if err != nil {
		return err
	}
	p := &program{house: h, proc: proc}
	p.later("database", func(context.Context) error { return h.close() })
	err = p.start(ctx)
	if err == nil {
		log.Info("serving", "version", proc.Version, "gateway", p.addrs.Gateway, "management", p.addrs.Management, "metrics", p.addrs.Metrics)
		if proc.Ready != nil {
			proc.Ready(p.addrs)
		}
		select {
		case <-ctx.Done():
			log.Info("stopping", "drain", drainTime.String())
		case err = <-p.failed:
			log.Error("a listener failed", "err", err)
		}
	}
	return errors.Join(err, p.stop())
}

// program is a running house. What is started registers how it is stopped;
// stop goes through that from the end.
type program struct {
	*house
	proc    Process
	addrs   Addrs
	limits  *limit.Limiter   // of the gateway; nil in role control
	share   sync.Once        // ends its being alone
	journal *meter.Journal   // of the gateway; nil in role control
	node    gatehouse.ID     // who this process is among those that share the work
	library *library.Service // nil in role gateway
	own     http.Handler     // this process's gateway, for the library's calls; nil in role control
	ownKey  [32]byte         // what it signs assertions by, in role all
	failed  chan error
	opening atomic.Bool // not every listener accepts yet
	// observer tells collectors; nil when there are none.
	observer *observe.Telemetry
	stops    []stopper
	// follower is kept for the drill that freezes it.
	follower *feed.Follower
}

type stopper struct {
	name string
	stop func(context.Context) error
}

func (p *program) later(name string, stop func(context.Context) error) {
	p.stops = append(p.stops, stopper{name, stop})
}

// loop runs f until the program stops, and waits for its end then.
func (p *program) loop(name string, f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { f(ctx) })
	p.later(name, func(context.Context) error {
		cancel()
		done.Wait()
		return nil
	})
}

// every runs f at intervals until ctx ends, and once more then.
func every(ctx context.Context, interval time.Duration, f func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			done = true
		}
		f()
	}
}

func (p *program) stop() error {
	end := time.Now().Add(drainTime)
	var errs []error
	for i := len(p.stops) - 1; i >= 0; i-- {
		ctx, cancel := context.WithTimeout(context.Background(), max(time.Until(end), stepTime))
		if err := p.stops[i].stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", p.stops[i].name, err))
		}
		cancel()
	}
	return errors.Join(errs...)
}

// start brings up the floors from below: records, then the replica, then the
// gateway that reads it, then whatever accepts connections.
func (p *program) start(ctx context.Context) error {
	p.failed = make(chan error, 3)
	p.opening.Store(true)
	registry := prometheus.NewRegistry()
	if err := p.startTelemetry(ctx, registry); err != nil {
		return err
	}
	up, err := p.uplink(ctx, registry)
	if err != nil {
		return err
	}
	var gw *gateway.Gateway
	if p.cfg.Role != RoleControl {
		if gw, err = p.dataPlane(up, registry); err != nil {
			return err
		}
		p.own = gw
	}
	if p.library != nil {
		p.serveLibrary()
	}
	if err := p.open("metrics", p.cfg.Metrics.Listen, p.probes(gw, registry), false, &p.addrs.Metrics); err != nil {
		return err
	}
	if p.cfg.Role != RoleGateway {
		plane, err := p.withPayments(p.observer.Management(p.managementPlane()))
		if err != nil {
			return err
		}
		if err := p.open("management", p.cfg.Management.Listen, p.withFleet(up, plane), true, &p.addrs.Management); err != nil {
			return err
		}
	}
	if gw != nil {
		if err := p.open("gateway", p.cfg.Gateway.Listen, rpc.New(gw, p.log), true, &p.addrs.Gateway); err != nil {
			return err
		}
	}
	if p.cfg.Role == RoleGateway {
		p.later("farewell", func(ctx context.Context) error {
			gw.Farewell()
			wait(ctx, farewell)
			return nil
		})
	}
	p.later("waits", func(context.Context) error { close(p.stopping); return nil }) // stopped first: those who wait hold listeners open
	p.opening.Store(false)
	return nil
}

// uplink starts control and hands out what it serves gateways by, or finds it
// over the network.
func (p *program) uplink(ctx context.Context, registry prometheus.Registerer) (*uplink, error) {
	if p.cfg.Role == RoleGateway {
		return p.join(ctx)
	}
	return p.controlPlane(ctx, registry)
}

// open binds an address, which is kept in bound, and answers there.
func (p *program) open(name, addr string, h http.Handler, secure bool, bound *string) error {
	l, err := p.cfg.listen(name, addr, h, secure)
	if err != nil {
		return err
	}
	*bound = l.socket.Addr().String()
	p.later(name, l.stop)
	go func() {
		if err := l.run(); err != nil {
			p.failed <- err
		}
	}()
	return nil
}

// probes are what balancers and monitors ask.
func (p *program) probes(gw *gateway.Gateway, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.Handle("GET /readyz", p.readiness(gw))
	return mux
}
