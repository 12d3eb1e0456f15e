package postgres_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	"gatehouse"
	"gatehouse/internal/store"
)

// cutter is a proxy that cuts the connection at the next COMMIT once armed:
// before it passes it on, or when the server has answered and the client has
// not heard.
type cutter struct {
	target        string
	before, after atomic.Bool
	cuts          atomic.Int64
}

func newCutter(t *testing.T, dsn string) (c *cutter, through string) {
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c = &cutter{target: u.Host}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go c.pass(client)
		}
	}()
	u.Host = l.Addr().String()
	return c, u.String()
}

func (c *cutter) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer server.Close()
	var mute atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			if err != nil || mute.Load() {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		commit := bytes.Contains(buf[:n], []byte("COMMIT\x00"))
		if commit && c.before.CompareAndSwap(true, false) {
			c.cuts.Add(1)
			return
		}
		if commit && c.after.CompareAndSwap(true, false) {
			c.cuts.Add(1)
			mute.Store(true)
			server.Write(buf[:n])
			<-done // the server has answered
			return
		}
		if _, err := io.Copy(server, bytes.NewReader(buf[:n])); err != nil {
			return
		}
	}
}

// TestACommitWithoutAnAnswerIsSettled: whether the server got it or not, the
// caller is told what is true, and the act is done once.
func TestACommitWithoutAnAnswerIsSettled(t *testing.T) {
	_, dsn := database(t)
	c, through := newCutter(t, dsn)
	db, other := open(t, through), open(t, dsn)
	team := gatehouse.NewID()
	for n := range 6 {
		put(t, db, newKey(team, "k")) // the driver knows the statement's columns from now on
		if n%2 == 0 {
			c.after.Store(true)
		} else {
			c.before.Store(true)
		}
		k := put(t, db, newKey(team, "k"))
		if c.cuts.Load() != int64(n+1) {
			t.Fatalf("cut %d times, want %d", c.cuts.Load(), n+1)
		}
		for _, s := range []store.Store{db, other} {
			err := s.View(system, func(v store.View) error {
				tree, err := v.Tree()
				if err != nil || tree.Size != int64(2*n+2) {
					t.Errorf("%d leaves after %d acts: %v", tree.Size, 2*n+2, err)
				}
				_, err = v.Key(k.ID)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}
