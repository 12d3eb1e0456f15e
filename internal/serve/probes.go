package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"gatehouse/internal/gateway"
	"gatehouse/internal/store"
)

// readyTime is how long a probe may ask the database.
const readyTime = 2 * time.Second

// condition is what /readyz?verbose says of one part.
type condition struct {
	Part    string `json:"part"`
	Ready   bool   `json:"ready"`
	Problem string `json:"problem,omitempty"`
	Warning string `json:"warning,omitempty"` // fit to serve, and an operator should look
}

// readiness answers whether the parts of this role can do their work. A gateway
// does not ask for control: it serves without, for as long as it may.
func (p *program) readiness(gw *gateway.Gateway) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conditions := p.conditions(r.Context(), gw)
		status := http.StatusOK
		for _, c := range conditions {
			if !c.Ready {
				status = http.StatusServiceUnavailable
				w.Header().Set("Retry-After", "1")
			}
		}
		if !r.URL.Query().Has("verbose") {
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"role": p.cfg.Role, "conditions": conditions})
	}
}

func (p *program) conditions(ctx context.Context, gw *gateway.Gateway) (out []condition) {
	select {
	case <-p.stopping: // the other listeners close: a balancer must go elsewhere
		return []condition{{Part: "process", Problem: "it stops"}}
	default:
	}
	if p.opening.Load() {
		return []condition{{Part: "process", Problem: "it starts"}}
	}
	if p.store != nil {
		ctx, cancel := context.WithTimeout(ctx, readyTime)
		defer cancel()
		err := p.store.View(store.System(ctx), func(v store.View) error { _, err := v.Revision(); return err })
		c := condition{Part: "database", Ready: err == nil}
		if err != nil {
			c.Problem = wordsOf(err)
		}
		out = append(out, c)
		for _, w := range p.warnings {
			out = append(out, condition{Part: "database", Ready: true, Warning: w})
		}
	}
	if gw != nil {
		c := condition{Part: "gateway", Ready: gw.Ready()}
		if !c.Ready {
			c.Problem = "no state of the installation that is fresh enough"
			if p.follower.Replica.Forgotten() {
				c.Problem = "control has forgotten this gateway"
			}
		}
		out = append(out, c)
		usage := condition{Part: "usage", Ready: true}
		if err := p.journal.Ready(); err != nil {
			usage.Ready, usage.Problem = false, wordsOf(err)
		}
		out = append(out, usage)
	}
	return out
}
