package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"gatehouse"
	"gatehouse/internal/serve"
)

type backupCmd struct {
	premises
	Out         string   `help:"File to write; it appears when it is whole." required:"" placeholder:"FILE"`
	Recipient   []string `help:"Public key of age that can read it (age1...). Repeatable." placeholder:"KEY"`
	Passphrase  string   `name:"passphrase-file" help:"File with a passphrase that can read it, instead of a recipient." placeholder:"FILE"`
	Plaintext   bool     `help:"Do not encrypt."`
	WithSecrets bool     `help:"Put the installation's secrets in as well: who can read the backup then owns the installation."`
	JSON        bool     `name:"json" help:"The manifest as JSON."`
}

// Run backs up an installation that may be serving.
func (c *backupCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	pass, err := passphrase(c.Passphrase)
	if err != nil {
		return err
	}
	m, err := serve.Backup(e, cfg, serve.BackupOptions{
		Out: c.Out, Recipients: c.Recipient, Passphrase: pass, Plaintext: c.Plaintext, WithSecrets: c.WithSecrets, Version: version,
	}, e.logger())
	if err != nil {
		return err
	}
	return c.show(e, m)
}

func (c *backupCmd) show(e *env, m serve.Manifest) error {
	if c.JSON {
		return json.NewEncoder(e.out).Encode(m)
	}
	_, err := fmt.Fprintf(e.out, "%s: revision %s, %d audit leaves, root %s, %d usage rows\n",
		c.Out, m.Summary.Revision, m.Summary.Leaves, m.Summary.Root, m.Summary.Rows["usage_rows"])
	return err
}

// passphrase reads a file's first line; none for no file.
func passphrase(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return "", gatehouse.Errorf(gatehouse.InvalidArgument, "%s: no passphrase in it", file)
	}
	return line, nil
}

type restoreCmd struct {
	premises
	In         string `help:"The backup." required:"" type:"existingfile" placeholder:"FILE"`
	Identity   string `help:"File with the identity of age that opens it." placeholder:"FILE"`
	Passphrase string `name:"passphrase-file" help:"File with the passphrase that opens it." placeholder:"FILE"`
	JSON       bool   `name:"json" help:"The manifest as JSON."`
}

// Run restores into an empty target.
func (c *restoreCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	pass, err := passphrase(c.Passphrase)
	if err != nil {
		return err
	}
	m, err := serve.Restore(e, cfg, serve.RestoreOptions{In: c.In, Identity: c.Identity, Passphrase: pass}, e.logger())
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(m)
	}
	_, err = fmt.Fprintf(e.out, "restored the backup of %s: revision %s, %d audit leaves, root %s. A new epoch has begun\n",
		m.Created.Format("2006-01-02 15:04:05Z"), m.Summary.Revision, m.Summary.Leaves, m.Summary.Root)
	return err
}
