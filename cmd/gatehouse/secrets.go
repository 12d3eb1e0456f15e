package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"gatehouse/internal/secret"
	"gatehouse/internal/serve"
)

type secretsCmd struct {
	Status secretsStatusCmd `cmd:"" help:"Show every generation of the installation's secrets, and whether something still names an earlier one."`
	Rotate secretsRotateCmd `cmd:"" help:"Replace a secret while the installation serves: pepper, mac, signing or page."`
	Retire secretsRetireCmd `cmd:"" help:"End the earlier generations of a secret, once nothing names them."`
}

type secretsStatusCmd struct {
	premises
	JSON bool `name:"json" help:"As JSON."`
}

// Run shows fingerprints, never a secret.
func (c *secretsStatusCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	r, err := serve.SecretsStatus(cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(r)
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SECRET\tFILE\tSTATE\tFINGERPRINT\tSINCE")
	for _, g := range r.Generations {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", g.Name, g.File, g.State, g.Fingerprint, g.Since.Format(time.RFC3339))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "served from here: %t; these generations are in use: %t; nothing names an earlier one: %t; rows that verify under none: %d\n",
		r.Serving, r.InUse, r.Clean, r.Refused)
	return nil
}

type secretsRotateCmd struct {
	premises
	Name string        `arg:"" help:"pepper, mac, signing or page." enum:"pepper,mac,signing,page"`
	Step string        `help:"One step, for several control nodes that hold copies of the directory: add everywhere, then promote everywhere." enum:",add,promote" default:"" placeholder:"add|promote"`
	Wait time.Duration `help:"How long to wait for the running process to take it over and to seal everything anew." default:"1h"`
}

// Run rotates. What a run that was cut short began, the next one finishes.
func (c *secretsRotateCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e, c.Wait)
	defer cancel()
	switch c.Step {
	case "add":
		err = serve.StepSecret(ctx, cfg, c.Name, secret.Add, e.logger())
	case "promote":
		err = serve.StepSecret(ctx, cfg, c.Name, secret.Promote, e.logger())
	default:
		err = serve.RotateSecret(ctx, cfg, c.Name, e.logger())
	}
	if err != nil {
		return err
	}
	switch c.Step {
	case "add":
		_, err = fmt.Fprintf(e.out, "%s: a next generation is accepted here. Copy the secrets to every control node, then promote\n", c.Name)
	case "promote":
		_, err = fmt.Fprintf(e.out, "%s: the next generation is in use here. Copy the secrets to every control node, then retire\n", c.Name)
	default:
		_, err = fmt.Fprintf(e.out, "%s: rotated, and everything is sealed anew. The generation before is accepted until gatehouse secrets retire %s\n", c.Name, c.Name)
	}
	return err
}

type secretsRetireCmd struct {
	premises
	Name  string        `arg:"" help:"pepper, mac, signing or page." enum:"pepper,mac,signing,page"`
	Force bool          `help:"Do not wait until what was handed out has expired: kept replies (15 minutes), pages (1 hour), gateways that are away (24 hours)."`
	Wait  time.Duration `help:"How long to wait for the running process." default:"1h"`
}

// Run retires. The files stay, renamed: backups from before need them.
func (c *secretsRetireCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e, c.Wait)
	defer cancel()
	if err := serve.RetireSecret(ctx, cfg, c.Name, c.Force, e.logger()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%s: earlier generations are retired. Keep the files *.retired with the backups that were made under them\n", c.Name)
	return err
}
