package observe

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// GatewayReadings are what alarms about a gateway read, each asked when metrics
// are scraped. One that is nil has no series, so that an alarm about it says
// "absent" and not "fine".
type GatewayReadings struct {
	Ready       func() bool          // requests are taken
	Leased      func() bool          // strict keys may be served
	ReplicaAge  func() time.Duration // since control last confirmed the replica
	Quarantined func() int           // records that were signed and could not be used

	JournalBytes func() int64         // on disk
	JournalLimit func() int64         // beyond which requests are refused
	JournalAge   func() time.Duration // of the oldest record that control has not acknowledged
	JournalBad   func() int           // segments that did not check and were put aside
	ShipFailures func() int64         // attempts to hand usage over that failed, since the start

	AuthorityUp func() bool // the last exchange with the limit authority worked
	BaseShares  func() bool // limits are held by this gateway's base share alone
}

// ControlReadings are the same for a control node.
type ControlReadings struct {
	DatabaseUp       func() bool
	DatabaseWarnings func() int           // what /readyz?verbose warns of
	CheckpointLag    func() time.Duration // how long the audit log has been ahead of its newest checkpoint
	Awaited          func() time.Duration // how long a change has waited for a gateway that may serve by what was before
	GatewaysLive     func() int
	GatewaysSilent   func() int   // members that have not been heard and still count
	IngestFailures   func() int64 // batches of usage that could not be written, since the start
}

// reading is one series.
type reading struct {
	name, help string
	counter    bool
	value      func() float64 // nil: not there
}

// Register adds the series of a gateway.
func (g GatewayReadings) Register(reg prometheus.Registerer) error {
	return register(reg,
		reading{"gatehouse_ready", "1 while the gateway takes requests: it can tell keys apart and record usage.", false, flag(g.Ready)},
		reading{"gatehouse_leased", "1 while the gateway holds the lease that strict keys need.", false, flag(g.Leased)},
		reading{"gatehouse_replica_age_seconds", "Since control last confirmed what the gateway enforces.", false, length(g.ReplicaAge)},
		reading{"gatehouse_replica_quarantined", "Records that came signed and could not be used.", false, number(g.Quarantined)},
		reading{"gatehouse_journal_bytes", "Size of the usage journal on disk.", false, number(g.JournalBytes)},
		reading{"gatehouse_journal_limit_bytes", "Size of the journal beyond which requests are refused.", false, number(g.JournalLimit)},
		reading{"gatehouse_journal_oldest_seconds", "Age of the oldest usage record that control has not acknowledged.", false, length(g.JournalAge)},
		reading{"gatehouse_journal_damaged", "Segments of the journal that did not check and were put aside.", false, number(g.JournalBad)},
		reading{"gatehouse_ship_failures_total", "Attempts to hand usage over to control that failed.", true, number(g.ShipFailures)},
		reading{"gatehouse_authority_up", "1 while the limit authority answers.", false, flag(g.AuthorityUp)},
		reading{"gatehouse_base_shares", "1 while limits are held by the gateway's base share alone.", false, flag(g.BaseShares)},
	)
}

// Register adds the series of a control node.
func (c ControlReadings) Register(reg prometheus.Registerer) error {
	return register(reg,
		reading{"gatehouse_database_up", "1 while the database answers.", false, flag(c.DatabaseUp)},
		reading{"gatehouse_database_warnings", "Settings of the database that an operator should look at.", false, number(c.DatabaseWarnings)},
		reading{"gatehouse_audit_checkpoint_lag_seconds", "How long the audit log has been ahead of its newest signed checkpoint; 0: it is not.", false, length(c.CheckpointLag)},
		reading{"gatehouse_propagation_awaited_seconds", "How long a change has waited for a gateway that may still serve by what was before; 0: none waits.", false, length(c.Awaited)},
		reading{"gatehouse_gateways_live", "Gateways that were heard in the last ten seconds.", false, number(c.GatewaysLive)},
		reading{"gatehouse_gateways_silent", "Gateways that are members and were not heard.", false, number(c.GatewaysSilent)},
		reading{"gatehouse_ingest_failures_total", "Batches of usage that could not be written.", true, number(c.IngestFailures)},
	)
}

// Register adds the series of the exporter itself.
func (t *Telemetry) Register(reg prometheus.Registerer) error {
	if t == nil {
		return nil
	}
	return register(reg, reading{"gatehouse_telemetry_dropped_total", "Spans that the collector did not take.", true, number(t.Dropped)})
}

func register(reg prometheus.Registerer, all ...reading) error {
	var errs []error
	for _, r := range all {
		if r.value == nil {
			continue
		}
		var c prometheus.Collector = prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: r.name, Help: r.help}, r.value)
		if r.counter {
			c = prometheus.NewCounterFunc(prometheus.CounterOpts{Name: r.name, Help: r.help}, r.value)
		}
		errs = append(errs, reg.Register(c))
	}
	return errors.Join(errs...)
}

func flag(f func() bool) func() float64 {
	if f == nil {
		return nil
	}
	return func() float64 {
		if f() {
			return 1
		}
		return 0
	}
}

func length(f func() time.Duration) func() float64 {
	if f == nil {
		return nil
	}
	return func() float64 { return f().Seconds() }
}

func number[N int | int64 | uint64](f func() N) func() float64 {
	if f == nil {
		return nil
	}
	return func() float64 { return float64(f()) }
}
