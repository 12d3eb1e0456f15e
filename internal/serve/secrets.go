package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"gatehouse/internal/durable"

	"gatehouse"
	"gatehouse/internal/store/sqlstore"
)

const (
	// secretsStatus tells what the running process holds and whether all is
	// sealed under it: what a rotation in another process waits for.
	secretsStatus = "secrets.status"
	// servingLock is held, by flock, while a process serves from a data directory.
	servingLock = "serving.lock"
	// secretsEvery is how often the directory is looked at. A signal is not
	// enough: where files are mounted, they change without one.
	secretsEvery = 250 * time.Millisecond
)

// resealer is a store whose rows can be sealed anew.
type resealer interface {
	Reseal(context.Context) (sqlstore.Resealed, error)
}

// heldSecrets is the content of secretsStatus.
type heldSecrets struct {
	Held    string `json:"held"`    // secret.Keys.Held
	Clean   bool   `json:"clean"`   // nothing names an earlier generation
	Refused int64  `json:"refused"` // rows that verify under none
}

// followSecrets takes over what a rotation does to the secrets directory, at a
// hang-up or by itself, and seals anew what names an earlier generation.
func (p *program) followSecrets(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(secretsEvery)
	defer tick.Stop()
	var told string
	clean := p.resealAll(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		case <-tick.C:
		}
		changed, err := p.keys.Reload(func(chain []gatehouse.Succession) error { return p.service.Succeed(ctx, chain) })
		switch {
		case err == nil:
			told = ""
		case err.Error() != told: // once, and not with every look
			told = err.Error()
			p.log.Error("the secrets were not read again; those in use stay", "err", err)
		}
		if changed {
			p.log.Info("secrets were read again", "rotating", p.keys.Rotating())
			if err := p.checkpointKeys(); err != nil {
				p.log.Error("the audit log's public key was not written", "err", err)
			}
		}
		if changed || !clean {
			clean = p.resealAll(ctx)
		}
	}
}

// resealAll seals until a pass finds nothing, and says so. It reports whether it
// came that far.
func (h *house) resealAll(ctx context.Context) bool {
	status := heldSecrets{Held: h.keys.Held()}
	err := h.writeStatus(status)
	if err == nil {
		status.Refused, err = h.reseal(ctx)
	}
	if err == nil {
		status.Clean = true
		err = h.writeStatus(status)
	}
	if err != nil && ctx.Err() == nil {
		h.log.Error("records were not sealed anew", "err", err)
	}
	return err == nil
}

// reseal makes passes until one wrote nothing. With one generation of each
// secret there is nothing that could name another.
func (h *house) reseal(ctx context.Context) (refused int64, err error) {
	if !h.keys.Rotating() {
		return 0, nil
	}
	r, ok := h.store.(resealer)
	if !ok {
		return 0, errors.New("this store cannot seal anew")
	}
	for total := int64(0); ; {
		pass, err := r.Reseal(ctx)
		if err != nil {
			return 0, err
		}
		if total += pass.Rows; pass.Rows == 0 {
			if total > 0 || pass.Refused > 0 {
				h.log.Info("records were sealed anew", "rows", total, "refused", pass.Refused)
			}
			return pass.Refused, nil
		}
	}
}

func (h *house) writeStatus(s heldSecrets) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(h.cfg.Data, secretsStatus), append(text, '\n'), 0o600)
}

// markServing marks the data directory before anything is written: who moves or
// rotates what is in it must know. Two processes on one directory would be one
// node to the others, and both would share out the same limits.
func (p *program) markServing(ctx context.Context) error {
	for began := time.Now(); ; {
		unlock, err := lockServing(p.cfg.Data)
		if err == nil {
			p.later("mark", func(context.Context) error { unlock(); return nil })
			return nil
		}
		// A command that looks whether somebody serves holds the lock for a moment.
		if gatehouse.CodeOf(err) != gatehouse.Conflict || time.Since(began) > lockPatience || ctx.Err() != nil {
			return err
		}
		time.Sleep(lockPatience / 100)
	}
}

// lockPatience is how long a start waits for whoever holds the data directory.
const lockPatience = 5 * time.Second

// lockServing marks a data directory as served from. The kernel drops the mark
// with the process, however it dies.
func lockServing(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, servingLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, gatehouse.Errorf(gatehouse.Conflict, "another process serves from %s", dir).Because(err)
	}
	return func() { f.Close() }, nil
}

// served reports whether a process serves from a data directory.
func served(dir string) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, servingLock)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	unlock, err := lockServing(dir)
	switch {
	case err == nil:
		unlock()
		return false, nil
	case gatehouse.CodeOf(err) == gatehouse.Conflict:
		return true, nil
	}
	return false, err
}

func readStatus(dir string) (s heldSecrets, err error) {
	text, err := os.ReadFile(filepath.Join(dir, secretsStatus))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}
