package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"gatehouse"
	"gatehouse/internal/serve"
)

type auditCmd struct {
	List   auditListCmd   `cmd:"" help:"List a team's events, newest first."`
	Verify auditVerifyCmd `cmd:"" help:"Check a log offline against a checkpoint that was kept elsewhere."`
	Export auditExportCmd `cmd:"" help:"Write the log as lines of JSON, from where an earlier export ended."`
}

type auditListCmd struct {
	remote
	paging
	Team      gatehouse.ID `help:"Team. Default: the management key's own." placeholder:"ID"`
	User      gatehouse.ID `help:"Only what this user did." placeholder:"ID"`
	Query     string       `help:"Only descriptions with these words." placeholder:"WORDS"`
	Event     gatehouse.ID `help:"Only this event." placeholder:"ID"`
	Action    string       `help:"Only this action, such as api_key.created." placeholder:"ACTION"`
	From      instant      `help:"Start: a time, a date, or how long ago." placeholder:"WHEN"`
	To        instant      `help:"End, exclusive." placeholder:"WHEN"`
	Ascending bool         `help:"Oldest first."`
}

// auditPage is how many events are listed unless told otherwise: a log grows
// with every look at it.
const auditPage = 100

// Run lists events.
func (c *auditListCmd) Run(e *env) error {
	return c.do(e, 0, func(s *session) error {
		if !s.json && c.PageSize == 0 {
			c.PageSize = auditPage
		}
		now := time.Now()
		f := gatehouse.EventFilter{
			TeamID: c.Team, UserID: c.User, EventID: c.Event, Query: c.Query, Action: c.Action,
			From: c.From.ago(now), To: c.To.ago(now), Ascending: c.Ascending,
		}
		events, err := pages(&s.printer, c.paging, func(p gatehouse.Page) ([]gatehouse.EventView, string, error) { return s.ListEvents(s, f, p) })
		if err != nil {
			return err
		}
		return s.table("TIME EVENT PERSON DESCRIPTION", each(events, func(v gatehouse.EventView) []string {
			person := ""
			if v.User != nil {
				if person = personName(v.User); person == "" {
					person = v.User.ID.String()
				}
			}
			return []string{clock(v.Time, ""), v.ID.String(), person, v.Description}
		}))
	})
}

type auditVerifyCmd struct {
	Checkpoint string `help:"The checkpoint, kept where who can write the log cannot change it." required:"" placeholder:"FILE"`
	Data       string `help:"Data directory with the log. It may be in use." xor:"log" placeholder:"DIR"`
	Export     string `help:"Export with the log." xor:"log" placeholder:"FILE"`
	Key        string `help:"The installation's public key, as text or in a file. Default: DATA/audit.pub." placeholder:"KEY"`
	JSON       bool   `name:"json" help:"As JSON."`
}

// auditKeyFile is where serve leaves the public key, below the data directory.
const auditKeyFile = "audit.pub"

var errTampered = errors.New("the audit log does not verify")

// Run verifies. The verdict is one line on stdout and the exit code.
func (c *auditVerifyCmd) Run(e *env) error {
	if c.Data == "" && c.Export == "" {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "which log: --data DIR or --export FILE")
	}
	if c.Key == "" {
		if c.Data == "" {
			return gatehouse.Errorf(gatehouse.InvalidArgument, "--export needs --key: the installation's audit.pub")
		}
		c.Key = filepath.Join(c.Data, auditKeyFile)
	}
	if e.terminal() {
		fmt.Fprintln(e.err, "verifying; a million leaves take some seconds")
	}
	r, err := serve.VerifyAudit(e, serve.AuditSource{Export: c.Export, Data: c.Data}, c.Checkpoint, c.Key)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		err = json.NewEncoder(e.out).Encode(map[string]any{
			"ok": r.OK(), "leaves": r.Checked, "covered": r.Size, "firstBad": r.FirstBad, "problem": r.Problem,
		})
	case r.OK():
		_, err = fmt.Fprintf(e.out, "audit log ok: %d leaves, checkpoint covers %d\n", r.Checked, r.Size)
	default:
		_, err = fmt.Fprintf(e.out, "audit log BAD at index %d: %s\n", r.FirstBad, r.Problem)
	}
	if err == nil && !r.OK() {
		err = errTampered
	}
	return err
}

type auditExportCmd struct {
	remote
	Since  int64  `help:"Cursor that an earlier export printed. Default: the beginning." placeholder:"CURSOR"`
	Format string `help:"jsonl: a leaf a line, as the verifier reads it." enum:"jsonl" default:"jsonl"`
	Data   string `help:"Read the log of this data directory, without a server." type:"existingdir" placeholder:"DIR"`
}

// longExport is how long an export may take online: a log has no end.
const longExport = 24 * time.Hour

// Run exports. The cursor to go on with is printed whatever happened, since
// everything before it has been written whole.
func (c *auditExportCmd) Run(e *env) error {
	if c.Since < 0 {
		return gatehouse.Errorf(gatehouse.InvalidArgument, "--since: a cursor is not negative")
	}
	export := func(w io.Writer) (next int64, err error) {
		if c.Data != "" {
			return serve.ExportAudit(e, serve.AuditSource{Data: c.Data}, c.Since, w)
		}
		next = c.Since
		err = c.do(e, longExport, func(s *session) error {
			next, err = s.WriteExport(s, c.Since, w)
			return err
		})
		return next, err
	}
	next, err := export(e.out)
	fmt.Fprintln(e.err, "next cursor:", next)
	return err
}
