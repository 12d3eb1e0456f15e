package postgres_test

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/store"
	"gatehouse/internal/store/storetest"
)

// bouncer starts PgBouncer in transaction mode before the server of a DSN and
// returns its address. It gives each database two connections, fewer than a
// store has of its own, so that one client's transactions land on several, and
// drops those of databases that are done with: there are more than the server's.
func bouncer(t *testing.T, server string) (address string) {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Fatal("pgbouncer is not installed: apt-get install -y pgbouncer")
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	l.Close()
	path := filepath.Join(t.TempDir(), "pgbouncer.ini")
	config := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%s user=%s\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%s\n"+
		"unix_socket_dir=\nauth_type=any\npool_mode=transaction\ndefault_pool_size=2\nmax_client_conn=500\nserver_idle_timeout=2\n", u.Port(), requestRole, port)
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"-q", path}
	if os.Getuid() == 0 { // which it refuses to be
		args = append([]string{"-u", "nobody"}, args...)
	}
	var said bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stderr, cmd.Stdout = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return address
		}
		if time.Now().After(end) {
			t.Fatalf("pgbouncer does not answer: %s", said.String())
		}
	}
}

// through is a DSN by way of another address.
func through(t *testing.T, dsn, address string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	return u.String()
}

// TestContractThroughPgBouncer: in transaction mode, in the release of Debian 12
// that knows nothing of prepared statements.
func TestContractThroughPgBouncer(t *testing.T) {
	address := bouncer(t, migrated(t))
	storetest.Run(t, func(t *testing.T) store.Store {
		_, request := database(t)
		return open(t, through(t, request, address))
	})
}
