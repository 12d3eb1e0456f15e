package town

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Wire is a TCP connection's path that can be cut. Cut is a partition: bytes
// stop arriving and nobody is told, as when a cable is pulled.
type Wire struct {
	listener net.Listener
	target   string

	// Breaks, when it reaches zero, breaks every connection: it counts down with
	// each piece that goes to the target. Zero at first is never.
	Breaks atomic.Int64

	mu    sync.Mutex
	cut   bool
	heal  chan struct{} // closed while whole
	conns map[net.Conn]bool
}

// NewWire listens on loopback and forwards to target.
func NewWire(t testing.TB, target string) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{listener: l, target: target, heal: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(w.heal)
	go w.accept()
	t.Cleanup(func() { w.listener.Close(); w.Heal(); w.reset() })
	return w
}

// Addr is where to connect to.
func (w *Wire) Addr() string { return w.listener.Addr().String() }

// Cut stops every byte in both directions until Heal.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.cut {
		w.cut, w.heal = true, make(chan struct{})
	}
}

// Heal lets bytes pass again. Connections from before the cut are broken, as
// those of a long partition are.
func (w *Wire) Heal() {
	w.mu.Lock()
	if w.cut {
		w.cut = false
		close(w.heal)
	}
	w.mu.Unlock()
	w.reset()
}

func (w *Wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
	clear(w.conns)
}

func (w *Wire) accept() {
	for {
		c, err := w.listener.Accept()
		if err != nil {
			return
		}
		go w.forward(c)
	}
}

func (w *Wire) forward(c net.Conn) {
	w.keep(c)
	defer w.drop(c)
	w.whole()
	d, err := net.DialTimeout("tcp", w.target, 5*time.Second)
	if err != nil {
		return
	}
	w.keep(d)
	defer w.drop(d)
	var both sync.WaitGroup
	both.Go(func() { w.copy(d, c, func() bool { return w.Breaks.Add(-1) == 0 }) })
	both.Go(func() { w.copy(c, d, func() bool { return false }) })
	both.Wait()
}

// copy moves bytes while the wire is whole, and ends both ends with either.
func (w *Wire) copy(to, from net.Conn, breaks func() bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		w.whole()
		if n > 0 && breaks() {
			w.listener.Close()
			w.reset()
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			if half, ok := to.(interface{ CloseWrite() error }); ok && err == io.EOF {
				half.CloseWrite()
				return
			}
			break
		}
	}
	to.Close()
	from.Close()
}

// whole waits for the end of a cut.
func (w *Wire) whole() {
	w.mu.Lock()
	heal := w.heal
	w.mu.Unlock()
	<-heal
}

func (w *Wire) keep(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[c] = true
}

func (w *Wire) drop(c net.Conn) {
	c.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}
