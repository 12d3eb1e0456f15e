package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"gatehouse"
	"gatehouse/internal/secret"
)

// RotateSecret makes a new generation of one secret and has everything sealed
// under it. A process that serves from the data directory is waited for between
// the steps, until ctx ends; what was begun then goes on when this is called
// again. Where several nodes hold copies of the secrets, StepSecret is the way.
func RotateSecret(ctx context.Context, cfg Config, name string, log *slog.Logger) error {
	generations, err := secret.Status(cfg.secretsDir())
	if err != nil {
		return err
	}
	begun := has(generations, name, secret.Previous) && !has(generations, name, secret.Next)
	if r, err := SecretsStatus(cfg); err == nil && begun && r.Clean {
		return gatehouse.Errorf(gatehouse.FailedPrecondition, "%s was rotated, and the generation before is still accepted: retire it first", name)
	}
	if !begun {
		if err := StepSecret(ctx, cfg, name, secret.Add, log); err != nil {
			return err
		}
		if err := StepSecret(ctx, cfg, name, secret.Promote, log); err != nil {
			return err
		}
	}
	return settleSecrets(ctx, cfg, true, log)
}

func has(all []secret.Generation, name string, state secret.State) bool {
	for _, g := range all {
		if g.Name == name && g.State == state {
			return true
		}
	}
	return false
}

// StepSecret does one step of a rotation, and waits until the process that
// serves from the data directory, if one does, has taken it over.
func StepSecret(ctx context.Context, cfg Config, name string, step func(dir, name string) error, log *slog.Logger) error {
	if err := step(cfg.secretsDir(), name); err != nil {
		return err
	}
	running, err := served(cfg.Data)
	if err != nil || !running {
		return err
	}
	return settleSecrets(ctx, cfg, false, log)
}

// settleSecrets waits until what the directory holds is in use and, when clean,
// until nothing names an earlier generation. When nobody serves, it seals
// itself.
func settleSecrets(ctx context.Context, cfg Config, clean bool, log *slog.Logger) error {
	keys, err := secret.Open(cfg.secretsDir())
	if err != nil {
		return err
	}
	for {
		running, err := served(cfg.Data)
		if err != nil {
			return err
		}
		if !running {
			return sealOffline(ctx, cfg, log)
		}
		if s, err := readStatus(cfg.Data); err == nil && s.Held == keys.Held() && (s.Clean || !clean) {
			return nil
		}
		select {
		case <-ctx.Done():
			return gatehouse.Errorf(gatehouse.DeadlineExceeded,
				"the running process has not taken over the new generation yet: both stay accepted; run the command again, and see the program's log").Because(ctx.Err())
		case <-time.After(secretsEvery / 4):
		}
	}
}

func sealOffline(ctx context.Context, cfg Config, log *slog.Logger) error {
	h, err := open(ctx, cfg, log)
	if err != nil {
		return err
	}
	refused, err := h.reseal(ctx)
	if err == nil {
		err = h.writeStatus(heldSecrets{Held: h.keys.Held(), Clean: true, Refused: refused})
	}
	if err == nil {
		_, err = h.checkpoint(0)
	}
	return errors.Join(err, h.close())
}

// graces are how long an earlier generation must stay accepted after it was
// replaced: replies are kept ten minutes for a repeated request, a list is
// paged through within an hour, and a gateway that was away longer than a day
// answers nobody anyway and may have to join again.
var graces = map[string]time.Duration{"pepper": 15 * time.Minute, "page": time.Hour, "signing": 24 * time.Hour}

// RetireSecret ends the earlier generations of one secret. It refuses while
// something names them, and before what they were handed out for has expired;
// force skips the second.
func RetireSecret(ctx context.Context, cfg Config, name string, force bool, log *slog.Logger) error {
	generations, err := secret.Status(cfg.secretsDir())
	if err != nil {
		return err
	}
	for _, g := range generations {
		if until := g.Since.Add(graces[name]); g.Name == name && g.State == secret.Previous && !force && time.Now().Before(until) {
			return gatehouse.Errorf(gatehouse.FailedPrecondition,
				"%s was replaced at %s and is still needed: retire it after %s, or --force at the price of failed requests",
				g.File, g.Since.Format(time.RFC3339), until.Format(time.RFC3339))
		}
	}
	if err := settleSecrets(ctx, cfg, true, log); err != nil {
		return err
	}
	// Other nodes on the database may have written with the old generation since
	// the process here last looked.
	if cfg.Database != "" {
		if err := sealOffline(ctx, cfg, log); err != nil {
			return err
		}
	}
	return StepSecret(ctx, cfg, name, secret.Retire, log)
}

// SecretsReport is what SecretsStatus says.
type SecretsReport struct {
	Generations []secret.Generation `json:"generations"`
	Serving     bool                `json:"serving"` // a process serves from the data directory
	InUse       bool                `json:"inUse"`   // it holds these generations
	Clean       bool                `json:"clean"`   // nothing names an earlier one
	Refused     int64               `json:"refused"` // rows that verify under none
}

// SecretsStatus tells how a rotation stands.
func SecretsStatus(cfg Config) (SecretsReport, error) {
	var out SecretsReport
	var err error
	if out.Generations, err = secret.Status(cfg.secretsDir()); err != nil {
		return out, err
	}
	keys, err := secret.Open(cfg.secretsDir())
	if err != nil {
		return out, err
	}
	if out.Serving, err = served(cfg.Data); err != nil {
		return out, err
	}
	// With one generation there is no other that could be named.
	out.Clean = !keys.Rotating()
	s, err := readStatus(cfg.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return out, nil
	case err != nil:
		return out, fmt.Errorf("%s: %w", secretsStatus, err)
	}
	out.InUse = out.Serving && s.Held == keys.Held()
	out.Clean, out.Refused = out.Clean || s.Held == keys.Held() && s.Clean, s.Refused
	return out, nil
}
