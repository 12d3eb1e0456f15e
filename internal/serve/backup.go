package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/internal/durable"

	"filippo.io/age"

	"gatehouse"
	"gatehouse/internal/secret"
	"gatehouse/internal/store/sqlstore"
)

// A backup is, within age's encryption or not: a line, then frames of a type,
// four bytes of length and a payload, then the SHA-256 of all that. The dump is
// in the middle, and what was found while writing it, the manifest, at the end:
// a backup that was cut has none.
const (
	backupLine = "gatehouse backup 1\n"
	ageLine    = "age-encryption.org/v1"

	frameSecret   = 'S' // JSON of a secretFile
	frameDump     = 'D' // a piece of the dump
	frameManifest = 'M' // JSON of a Manifest; the last

	maxFrame = 1 << 20
)

// Manifest says what a backup holds.
type Manifest struct {
	Version      string            `json:"version"` // of the program that made it
	Created      time.Time         `json:"created"`
	Summary      sqlstore.Summary  `json:"summary"`
	Fingerprints map[string]string `json:"fingerprints"` // of the secrets, never the secrets
	Secrets      bool              `json:"secrets"`      // they are in it as well
}

// secretFile is a file of the secrets directory.
type secretFile struct {
	Name    string `json:"name"`
	Content []byte `json:"content"`
}

// BackupOptions say where a backup goes and who can read it. Recipients of age
// or a passphrase encrypt it; without either Plaintext must be set.
type BackupOptions struct {
	Out         string
	Recipients  []string
	Passphrase  string
	Plaintext   bool
	WithSecrets bool
	Version     string
	work        int // of the passphrase, as a power of two; age's when zero
}

// Backup writes a consistent snapshot of an installation, which may be serving.
// The file appears whole or not at all.
func Backup(ctx context.Context, cfg Config, opt BackupOptions, log *slog.Logger) (m Manifest, err error) {
	to, err := opt.recipients()
	if err != nil {
		return m, err
	}
	keys, err := secret.Open(cfg.secretsDir())
	if err != nil {
		return m, err
	}
	f, err := os.CreateTemp(filepath.Dir(opt.Out), filepath.Base(opt.Out)+".*")
	if err != nil {
		return m, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	m = Manifest{Version: opt.Version, Created: time.Now().UTC(), Fingerprints: keys.Fingerprints(), Secrets: opt.WithSecrets}
	if err := writeBackup(ctx, cfg, f, to, keys, &m, log); err != nil {
		return m, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return m, err
	}
	// A generation that was made meanwhile may be what the copy is sealed under,
	// and the backup would not say so, nor hold it.
	if changed, err := keys.Reload(nil); err != nil || changed {
		return m, gatehouse.Errorf(gatehouse.Conflict, "the secrets were rotated meanwhile: make the backup again").Because(err)
	}
	if err := os.Rename(f.Name(), opt.Out); err != nil {
		return m, err
	}
	return m, durable.SyncDir(filepath.Dir(opt.Out))
}

// recipients is who can read; none for a backup in the clear.
func (o BackupOptions) recipients() (to []age.Recipient, err error) {
	for _, text := range o.Recipients {
		r, err := age.ParseX25519Recipient(strings.TrimSpace(text))
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "--recipient: want age1…, as age-keygen prints").Because(err)
		}
		to = append(to, r)
	}
	if o.Passphrase != "" {
		if len(to) > 0 {
			return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "either recipients or a passphrase, not both")
		}
		r, err := age.NewScryptRecipient(o.Passphrase)
		if err == nil && o.work > 0 {
			r.SetWorkFactor(o.work)
		}
		return []age.Recipient{r}, err
	}
	switch {
	case len(to) > 0:
	case o.WithSecrets:
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "--with-secrets needs --recipient or --passphrase-file: with the secrets in the clear the file is the installation")
	case !o.Plaintext:
		return nil, gatehouse.Errorf(gatehouse.InvalidArgument, "give --recipient or --passphrase-file, or --plaintext: a backup holds names, addresses and usage in the clear")
	}
	return to, nil
}

// writeBackup writes it all to w and completes the manifest.
func writeBackup(ctx context.Context, cfg Config, w io.Writer, to []age.Recipient, keys *secret.Keys, m *Manifest, log *slog.Logger) error {
	var sealed io.WriteCloser
	if len(to) > 0 {
		var err error
		if sealed, err = age.Encrypt(w, to...); err != nil {
			return err
		}
		w = sealed
	}
	out := newFrameWriter(w)
	if m.Secrets {
		if err := writeSecrets(out, cfg.secretsDir()); err != nil {
			return err
		}
	}
	var err error
	if m.Summary, err = dump(ctx, cfg, keys, log, out); err != nil {
		return err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := out.finish(text); err != nil {
		return err
	}
	if sealed != nil {
		return sealed.Close()
	}
	return nil
}

// writeSecrets takes every file that a restore needs, earlier generations too.
func writeSecrets(out *frameWriter, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !secret.IsFile(e.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		text, err := json.Marshal(secretFile{e.Name(), content})
		if err != nil {
			return err
		}
		if err := out.frame(frameSecret, text); err != nil {
			return err
		}
	}
	return nil
}
