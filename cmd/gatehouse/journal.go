package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/meter"
	"gatehouse/internal/serve"
	"gatehouse/internal/store"
)

type journalCmd struct {
	Ship journalShipCmd `cmd:"" help:"Bring in the usage of a gateway that is gone, from its journal. What arrived before counts once."`
}

// premises are the flags of commands that work on an installation's database
// without its server.
type premises struct {
	Data     string `help:"Data directory of the installation." placeholder:"DIR"`
	Database string `help:"PostgreSQL of the installation, instead of a file in the data directory. Default: what GATEHOUSE_DATABASE or GATEHOUSE_DATABASE_FILE say." placeholder:"postgres://..."`
	DSNFile  string `name:"database-file" help:"File that holds --database, whose password everyone on the machine would see." placeholder:"FILE"`
	Secrets  string `help:"Directory of the secrets. Default: DATA/secrets." placeholder:"DIR"`
}

func (p *premises) config() (serve.Config, error) {
	cfg := serve.Defaults()
	cfg.Data, cfg.Secrets = p.Data, p.Secrets
	if cfg.Data == "" {
		return cfg, gatehouse.Errorf(gatehouse.InvalidArgument, "--data is required: it says which installation")
	}
	var err error
	cfg.Database, err = database(p.Database, p.DSNFile)
	return cfg, err
}

// database is the DSN that flags say, else the one that the environment says to
// serve as well.
func database(dsn, file string) (string, error) {
	if dsn == "" && file == "" {
		dsn, file = os.Getenv("GATEHOUSE_DATABASE"), os.Getenv("GATEHOUSE_DATABASE_FILE")
	}
	return orFile("database", dsn, file)
}

// orFile is what a flag says, or what stands in the file that NAME-file names.
func orFile(name, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	if value != "" {
		return "", gatehouse.Errorf(gatehouse.InvalidArgument, "--%s and --%s-file: give one of them", name, name)
	}
	text, err := os.ReadFile(file)
	return strings.TrimSpace(string(text)), err
}

func (e *env) logger() *slog.Logger { return slog.New(slog.NewTextHandler(e.err, nil)) }

type journalShipCmd struct {
	premises
	Dir       string        `arg:"" help:"The journal: the directory journal of the dead gateway's data directory." type:"existingdir"`
	Control   []string      `help:"Ship to control, in the gateway's own name: --data is its data directory then. Repeatable." placeholder:"URL"`
	ControlCA string        `name:"control-ca" help:"Roots (PEM) to trust control by, instead of the system's." placeholder:"FILE"`
	Delete    bool          `help:"Remove segments once all of their start was acknowledged."`
	Timeout   time.Duration `help:"How long to wait for a control or database that does not answer." default:"1m"`
	JSON      bool          `name:"json" help:"The report as JSON."`
}

// Run ships and reports. It is safe to run again after any failure.
func (c *journalShipCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	cfg.Control, cfg.ControlCA = c.Control, c.ControlCA
	ctx, cancel := context.WithCancel(e)
	defer cancel()
	patience := time.AfterFunc(c.Timeout, cancel) // renewed by every batch
	defer patience.Stop()
	report, err := serve.ShipJournal(ctx, cfg, e.logger(), c.Dir, meter.ShipDirOptions{Delete: c.Delete,
		Told: func(meter.ShipReport) { patience.Reset(c.Timeout) }})
	if c.JSON {
		return errors.Join(err, json.NewEncoder(e.out).Encode(report))
	}
	c.show(e, report)
	return err
}

func (c *journalShipCmd) show(e *env, report serve.ShippedUsage) {
	fmt.Fprintf(e.out, "%d records (%d of them without an end, as estimates) and %d objects of %d starts shipped\n",
		report.Records, report.Interrupted, report.Objects, report.Incarnations)
	if report.New+report.Known > 0 {
		fmt.Fprintf(e.out, "%d records were new, %d had arrived before\n", report.New, report.Known)
	}
	if report.Damaged+report.Unreadable > 0 {
		fmt.Fprintf(e.out, "%d segments are damaged behind what was shipped, %d hold nothing that checks\n", report.Damaged, report.Unreadable)
	}
	if c.Delete {
		fmt.Fprintf(e.out, "%d segments removed\n", report.Deleted)
	}
}

// usageCommands is usage itself, and what is done to it.
type usageCommands struct {
	Ask       usageCmd          `cmd:"" default:"withargs" help:"Ask what was used: dollars and tokens by time, model, key or tag."`
	Weekly    usageWeeklyCmd    `cmd:"" help:"What each key used of each model, week by week."`
	Recompute usageRecomputeCmd `cmd:"" help:"Compare the rollups of an installation with its rows, and put them right."`
}

type usageRecomputeCmd struct {
	premises
	From   instant `help:"First day (UTC): a date, or how long ago, such as 30d." default:"7d" placeholder:"WHEN"`
	To     instant `help:"End, exclusive. Default: now." placeholder:"WHEN"`
	DryRun bool    `name:"dry-run" help:"Report differences, and change nothing."`
	JSON   bool    `name:"json" help:"One line of JSON per day."`
}

// Run compares, repairs, and fails when something still differs.
func (c *usageRecomputeCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	now := time.Now()
	to := now
	if c.To.given {
		to = c.To.ago(now)
	}
	left := 0
	err = serve.RecomputeUsage(e, cfg, e.logger(), c.From.ago(now), to, !c.DryRun, func(check store.UsageCheck) {
		for _, d := range check.Drifts {
			if !d.Repaired {
				left++
			}
		}
		c.show(e, check)
	})
	if err == nil && left > 0 {
		err = gatehouse.Errorf(gatehouse.Conflict, "%d rollups differ from their rows", left)
	}
	return err
}

func (c *usageRecomputeCmd) show(e *env, check store.UsageCheck) {
	if c.JSON {
		_ = json.NewEncoder(e.out).Encode(check)
		return
	}
	day := check.Day.Format(time.DateOnly)
	if len(check.Drifts) == 0 {
		fmt.Fprintf(e.out, "%s  %d rows, rollups agree\n", day, check.Rows)
	}
	for _, d := range check.Drifts {
		word := "differs"
		if d.Repaired {
			word = "repaired"
		}
		fmt.Fprintf(e.out, "%s  team %s %s: rows %d requests, %d tokens, %s; rollups %d requests, %d tokens, %s\n", day, d.Team, word,
			d.Rows.Requests, d.Rows.Tokens, d.Rows.Ticks, d.Rollups.Requests, d.Rollups.Tokens, d.Rollups.Ticks)
	}
}
