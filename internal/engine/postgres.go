package engine

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Postgres is one server of our own. Its superuser is "postgres", by trust.
type Postgres struct {
	Dir  string
	Port int
	// Settings are appended to postgresql.conf before Start.
	Settings []string
	cmd      *exec.Cmd
	exited   chan struct{}
	log      *bytes.Buffer
}

// DSN is the URL of a database on the server as its superuser.
func (p *Postgres) DSN(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", p.Port, database)
}

// NewPostgres makes a data directory with checksums and a port for it. The
// server is not started.
func NewPostgres(dir string) (*Postgres, error) {
	p := &Postgres{Dir: filepath.Join(dir, "pg"), Port: FreePort()}
	cred, err := unprivileged()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return nil, err
	}
	if cred != nil {
		// The server refuses root, and its user must reach the directory.
		if err := openUp(p.Dir, int(cred.Uid), int(cred.Gid)); err != nil {
			return nil, err
		}
	}
	initdb, err := postgresProgram("initdb")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(initdb, "-D", p.Dir, "-U", "postgres", "--auth=trust", "--no-sync", "--data-checksums", "--encoding=UTF8", "--locale=C")
	cmd.SysProcAttr, cmd.Dir = attributes(cred), "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return p, nil
}

// Start starts the server and waits until it answers. After Kill it starts
// again on the same port, and recovers.
func (p *Postgres) Start() error {
	cred, err := unprivileged()
	if err != nil {
		return err
	}
	program, err := postgresProgram("postgres")
	if err != nil {
		return err
	}
	args := []string{"-D", p.Dir, "-p", strconv.Itoa(p.Port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=200", "-c", "shared_buffers=128MB", "-c", "logging_collector=off", "-c", "log_min_messages=warning"}
	for _, s := range p.Settings {
		args = append(args, "-c", s)
	}
	p.log = new(bytes.Buffer)
	p.cmd = exec.Command(program, args...)
	p.cmd.SysProcAttr, p.cmd.Dir = attributes(cred), "/"
	p.cmd.Stderr, p.cmd.Stdout = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	p.exited = exited
	go func() { p.cmd.Wait(); close(exited) }()
	ready, err := postgresProgram("pg_isready")
	if err != nil {
		return err
	}
	return await("postgres", exited, p.log, func() error {
		return exec.Command(ready, "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(p.Port)).Run()
	})
}

// Kill ends every process of the server by SIGKILL, as a power cut would but
// for what the kernel has and the disk has not.
func (p *Postgres) Kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	// Children would go on and hold the shared memory.
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
	os.Remove(filepath.Join(p.Dir, "postmaster.pid"))
}

// Stop ends it in order.
func (p *Postgres) Stop() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
}

// CreateDatabase makes an empty database.
func (p *Postgres) CreateDatabase(name string) error { return p.create(name, "template1") }

// create makes a database as a copy of another, which nobody may use meanwhile.
func (p *Postgres) create(name, template string) error {
	createdb, err := postgresProgram("createdb")
	if err != nil {
		return err
	}
	if out, err := exec.Command(createdb, "-h", "127.0.0.1", "-p", strconv.Itoa(p.Port), "-U", "postgres", "-T", template, name).CombinedOutput(); err != nil {
		return fmt.Errorf("createdb %s: %w\n%s", name, err, out)
	}
	return nil
}

// Show reads a setting back as whoever dsn names sees it.
func (p *Postgres) Show(dsn, setting string) (string, error) {
	psql, err := postgresProgram("psql")
	if err != nil {
		return "", err
	}
	out, err := exec.Command(psql, dsn, "-Atc", "SHOW "+setting).Output()
	return strings.TrimSpace(string(out)), err
}

// shared is the server that the tests of one process share.
var shared = sync.OnceValues(func() (*Postgres, error) {
	dir, err := os.MkdirTemp("", "gatehouse-pg")
	if err != nil {
		return nil, err
	}
	if err := removeAtExit(dir); err != nil {
		return nil, err
	}
	p, err := NewPostgres(dir)
	if err != nil {
		return nil, err
	}
	p.Settings = []string{"max_wal_size=256MB"} // a run would leave gigabytes
	// It syncs as in production: stores refuse a server that does not.
	return p, p.Start()
})

// removeAtExit removes the directory when this process has ended, however: a
// test binary has no last act, and a killed one has none at all. The pipe that
// another process waits on ends with this one.
func removeAtExit(dir string) error {
	cmd := exec.Command("sh", "-c", `cat; for i in 1 2 3 4 5; do sleep 1; rm -rf "$0" && exit; done`, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	lifelines.Store(lifeline, dir)
	return cmd.Start()
}

// lifelines are kept for as long as the process is there: the collector closes a
// pipe that nobody holds.
var lifelines sync.Map

var databases struct {
	sync.Mutex
	n int
}

// Database is a fresh database on a server that the tests of this process share.
func Database(t testing.TB) (dsn string) {
	t.Helper()
	return copied(t, "template1")
}

// Copies returns a function that makes databases like Database does, as copies
// of one that fill has filled: that takes a third of the time of filling each.
func Copies(fill func(dsn string) error) func(t testing.TB) (dsn string) {
	template := sync.OnceValues(func() (string, error) {
		p, err := shared()
		if err != nil {
			return "", err
		}
		name := nextName()
		if err := p.CreateDatabase(name); err != nil {
			return "", err
		}
		return name, fill(p.DSN(name))
	})
	var one sync.Mutex // a template is copied once at a time
	return func(t testing.TB) string {
		t.Helper()
		name, err := template()
		if err != nil {
			t.Fatal(err)
		}
		one.Lock()
		defer one.Unlock()
		return copied(t, name)
	}
}

func copied(t testing.TB, template string) (dsn string) {
	t.Helper()
	p, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	name := nextName()
	if err := p.create(name, template); err != nil {
		t.Fatal(err)
	}
	return p.DSN(name)
}

func nextName() string {
	databases.Lock()
	defer databases.Unlock()
	databases.n++
	return fmt.Sprintf("t%d_%d", os.Getpid(), databases.n)
}

func postgresProgram(name string) (string, error) {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		return found[len(found)-1], nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s is not installed: apt-get install -y postgresql", name)
}

// unprivileged is whom to run as: nil for ourselves.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// openUp lets another user own dir and pass through the temporary directories
// above it.
func openUp(dir string, uid, gid int) error {
	if err := os.Chown(dir, uid, gid); err != nil {
		return err
	}
	temp := filepath.Clean(os.TempDir())
	for d := filepath.Dir(dir); strings.HasPrefix(d, temp+"/"); d = filepath.Dir(d) {
		info, err := os.Stat(d)
		if err != nil {
			return err
		}
		if err := os.Chmod(d, info.Mode().Perm()|0o011); err != nil {
			return err
		}
	}
	return nil
}
