package town

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/engine"
)

var built struct {
	once sync.Once
	path string
	err  error
}

// Binary builds the program once per test process and returns its path.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		dir, err := os.MkdirTemp("", "gatehouse-verify")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "gatehouse")
		if out, err := exec.Command("go", "build", "-o", built.path, "gatehouse/cmd/gatehouse").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// Clean removes what Binary built; TestMain calls it at the end.
func Clean() {
	if built.path != "" {
		os.RemoveAll(filepath.Dir(built.path))
	}
}

// Process is one run of the binary after another, with the same arguments.
type Process struct {
	Name, Binary string
	Args         []string
	Environ      []string // beside the test's own
	ReadyURL     string   // answers 200 once it serves

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
	log  *Log
}

// Log keeps what a process wrote to standard error.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// String is everything so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Start runs it and does not wait until it is ready.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log == nil {
		p.log = new(Log)
	}
	cmd := exec.Command(p.Binary, p.Args...)
	cmd.Env = append(os.Environ(), p.Environ...)
	cmd.Stderr = p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // under a tracer, signals go to the group
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	p.cmd, p.done = cmd, done
	return nil
}

// Await polls ReadyURL until it answers 200, or until the process ended.
func (p *Process) Await(within time.Duration) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(within); ; {
		resp, err := client.Get(p.ReadyURL)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s ended:\n%s", p.Name, p.Tail(4000))
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready: %w\n%s", p.Name, err, p.Tail(4000))
		}
	}
}

// Done is closed when the present run ended.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Kill is SIGKILL and a wait.
func (p *Process) Kill() {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if cmd != nil {
		cmd.Process.Kill()
		<-done
	}
}

// Pause stops the process where it stands; Resume lets it go on.
func (p *Process) Pause()  { p.signal(syscall.SIGSTOP) }
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd.Process.Signal(s)
}

// Stop asks the process to drain and end, and reports how it did.
func (p *Process) Stop() error {
	p.signal(syscall.SIGTERM)
	<-p.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.cmd.ProcessState; !s.Success() {
		return fmt.Errorf("%s ended with %s\n%s", p.Name, s, tail(p.log.String(), 4000))
	}
	return nil
}

// PID is the present run's.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Log is what all runs wrote.
func (p *Process) Log() string { return p.log.String() }

// Tail is the end of Log.
func (p *Process) Tail(n int) string { return tail(p.log.String(), n) }

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// FreeAddr is a loopback address that nobody listens on now.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(engine.FreePort()))
}
