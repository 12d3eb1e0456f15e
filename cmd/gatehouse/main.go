// Command gatehouse is the whole product: the server in its roles, the offline
// tools of an operator, and a client of the management plane.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	_ "time/tzdata" // usage is asked for in zones that a bare host does not know

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"gatehouse"
)

// version is set by the linker.
var version = "dev"

// Exit codes, as contract.md pins them.
const (
	exitError    = 1
	exitUsage    = 2
	exitNotFound = 3
	exitDenied   = 4
	exitConflict = 5
	exitTimeout  = 6
)

// cli is the command line. Help texts are the documentation most people read.
type cli struct {
	Serve    serveCmd    `cmd:"" help:"Run Gatehouse."`
	Demo     demoCmd     `cmd:"" help:"Run everything on loopback against a simulated upstream and print lines to paste."`
	Simulate simulateCmd `cmd:"" help:"Run a simulated model provider."`
	Recover  recoverCmd  `cmd:"" help:"Mint a management key offline when all are lost. Audited."`
	Config   configCmd   `cmd:"" help:"Look at the configuration."`
	Doctor   doctorCmd   `cmd:"" help:"Check that this machine and data directory are fit to serve."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
	Journal  journalCmd  `cmd:"" help:"Look after a gateway's journal of usage."`
	Audit    auditCmd    `cmd:"" help:"Verify, export and list the audit log."`
	Backup   backupCmd   `cmd:"" help:"Write an encrypted backup of an installation that may be serving."`
	Restore  restoreCmd  `cmd:"" help:"Make an installation out of a backup, in an empty target."`
	Migrate  migrateCmd  `cmd:"" help:"Bring a PostgreSQL up to date, or move an installation into one."`
	Secrets  secretsCmd  `cmd:"" help:"Rotate the installation's secrets."`
	clientCommands

	ExtractText extractTextCmd `cmd:"" hidden:"" help:"Read a document, locked down. For Gatehouse's own use."`
}

// env is what commands get besides their flags: the outside world, so that a
// test can be one.
type env struct {
	context.Context
	out, err io.Writer
	in       io.Reader
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Stdin))
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, out, stderr io.Writer, in io.Reader) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("gatehouse"), kong.UsageOnError(), kong.Writers(out, stderr),
		kong.Description("API keys with limits, and a gateway that enforces them, in front of model providers."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Exit(func(code int) { exited = code }))
	if err != nil {
		fmt.Fprintln(stderr, "gatehouse:", err)
		return exitError
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "gatehouse: %v\nRun gatehouse --help for usage.\n", err)
		return exitUsage
	}
	e := &env{Context: ctx, out: out, err: stderr, in: in}
	if err := parsed.Run(e); err != nil {
		fmt.Fprintln(stderr, "gatehouse:", words(err))
		return exitCode(err)
	}
	return 0
}

// words is an error as a person reads it: public words where there are some.
func words(err error) string {
	var e *gatehouse.Error
	if errors.As(err, &e) && e.Message != "" {
		return e.Message
	}
	return err.Error()
}

func exitCode(err error) int {
	switch gatehouse.CodeOf(err) {
	case gatehouse.InvalidArgument, gatehouse.Unprocessable:
		return exitUsage
	case gatehouse.NotFound:
		return exitNotFound
	case gatehouse.Unauthenticated, gatehouse.PermissionDenied:
		return exitDenied
	case gatehouse.AlreadyExists, gatehouse.Conflict, gatehouse.FailedPrecondition:
		return exitConflict
	case gatehouse.DeadlineExceeded:
		return exitTimeout
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return exitTimeout
	}
	return exitError
}

// terminal reports whether standard error is one, so that a first key may be
// shown there.
func (e *env) terminal() bool {
	f, ok := e.err.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
