package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Redis is one Redis or Valkey server of our own, without persistence: what it
// holds is volatile by contract.
type Redis struct {
	Port   int
	cmd    *exec.Cmd
	exited chan struct{}
	log    *bytes.Buffer
}

// URL is how to reach it.
func (r *Redis) URL() string { return fmt.Sprintf("redis://127.0.0.1:%d", r.Port) }

// NewRedis takes a port for a server.
func NewRedis() *Redis { return &Redis{Port: FreePort()} }

// Start starts the server, empty, and waits until it answers. Args go to its
// command line.
func (r *Redis) Start(args ...string) error {
	program, err := exec.LookPath("valkey-server")
	if err != nil {
		if program, err = exec.LookPath("redis-server"); err != nil {
			return fmt.Errorf("neither valkey-server nor redis-server is installed: apt-get install -y redis-server")
		}
	}
	r.log = new(bytes.Buffer)
	r.cmd = exec.Command(program, append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(r.Port), "--save", "", "--appendonly", "no"}, args...)...)
	r.cmd.SysProcAttr, r.cmd.Dir = attributes(nil), os.TempDir()
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	if err := r.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	r.exited = exited
	go func() { r.cmd.Wait(); close(exited) }()
	return await(program, exited, r.log, func() error {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(r.Port), time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// Kill ends it by SIGKILL; what it held is gone.
func (r *Redis) Kill() {
	if r.cmd == nil || r.cmd.Process == nil {
		return
	}
	r.cmd.Process.Signal(syscall.SIGKILL)
	<-r.exited
}

// Flush empties it, as an operator's mistake would.
func (r *Redis) Flush() error {
	answer, err := r.Do("FLUSHALL")
	if err == nil && answer != "+OK\r\n" {
		err = fmt.Errorf("FLUSHALL answered %q", answer)
	}
	return err
}

// Do sends one command in the inline form and returns what the server answered
// at once.
func (r *Redis) Do(command string) (answer string, err error) {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(r.Port), time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return "", err
	}
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

// Pause stops it without ending connections, and Resume goes on.
func (r *Redis) Pause()  { r.cmd.Process.Signal(syscall.SIGSTOP) }
func (r *Redis) Resume() { r.cmd.Process.Signal(syscall.SIGCONT) }

var sharedRedis = sync.OnceValues(func() (*Redis, error) {
	r := NewRedis()
	return r, r.Start()
})

// RedisURL is a server that the tests of this process share. Cases keep apart
// by the prefix of their keys.
func RedisURL(t testing.TB) string {
	t.Helper()
	r, err := sharedRedis()
	if err != nil {
		t.Fatal(err)
	}
	return r.URL()
}

// FreePort is a port of loopback that nobody listens on. It is below those that
// systems give to outgoing connections: one of these could take it before its
// server does, or while that server is stopped.
func FreePort() int {
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			l.Close()
			return port
		}
	}
	panic("loopback has no free port")
}

// await polls until ready or until the process is gone.
func await(name string, exited <-chan struct{}, log *bytes.Buffer, ready func() error) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("%s ended at once:\n%s", name, log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w", name, err)
		}
	}
}
