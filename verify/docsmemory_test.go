package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"gatehouse"
	"gatehouse/gen/collections"
	"gatehouse/gen/xai"
	"gatehouse/internal/library/extract"
	"gatehouse/verify/town"
)

// uploadBound is what the largest upload may add to the memory of the process
// that takes it in, in bytes.
const uploadBound = 32 << 20

// TestALargeUploadFitsInMemory uploads the largest file there may be through
// each door that streams, and reads it back: the process that does it all needs
// little more memory than when it does nothing.
func TestALargeUploadFitsInMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/clear_refs"); err != nil {
		t.Skip("needs Linux's account of a process's memory")
	}
	d := newDesk(t, town.Plan{})
	c := d.clerks[0]
	m := &memory{t: t, pid: d.Controls[0].PID(), binary: d.binary}
	doors := []struct {
		name string
		send func(context.Context, io.Reader) (gatehouse.ID, error)
	}{
		{"REST through the gateway", c.largeFile}, {"gRPC through the gateway", c.largeStream}, {"REST to the management plane", c.largeDocument},
	}
	for _, door := range doors { // what is made at the first use is made
		_, err := door.send(t.Context(), strings.NewReader("small"))
		d.must(err)
	}
	d.settled()
	idle := m.idle()
	t.Logf("idle: %s", mib(idle))
	for _, door := range doors {
		body := newLarge(gatehouse.MaxFileSize)
		var id gatehouse.ID
		peak, child := m.during(func() {
			var err error
			id, err = door.send(t.Context(), body)
			d.must(err)
			d.settled()
		})
		t.Logf("%s: %s adds %s; its extraction took %s", door.name, mib(gatehouse.MaxFileSize), mib(peak-idle), mib(child))
		if peak-idle > uploadBound {
			t.Errorf("%s adds %s to %s: more than %s", door.name, mib(peak-idle), mib(idle), mib(uploadBound))
		}
		var got string
		peak, _ = m.during(func() {
			var err error
			got, err = c.hash(t.Context(), id)
			d.must(err)
		})
		if t.Logf("reading it back adds %s", mib(peak-idle)); got != body.sum() || peak-idle > uploadBound {
			t.Errorf("%s: read back, it is %s, not %s, and adds %s", door.name, got, body.sum(), mib(peak-idle))
		}
	}
	m.aside(d, idle)
}

// aside tells what else takes memory, and has bounds of its own: a large text on
// its way into the index, and one message of gRPC, which is whole.
func (m *memory) aside(d *desk, idle int64) {
	c := d.clerks[0]
	text := strings.Repeat("The archive keeps what was written, and nobody has to remember where. ", 4<<20/70)
	peak, child := m.during(func() {
		_, err := c.management.UploadDocument(m.t.Context(), d.collections[0], gatehouse.NewFile{Name: "long.txt", Content: strings.NewReader(text)}, nil)
		d.must(err)
		d.settled()
	})
	m.t.Logf("a text of %s on its way into the index adds %s, and %s in a process of its own", mib(int64(len(text))), mib(peak-idle), mib(child))
	ctx := metadata.AppendToOutgoingContext(m.t.Context(), "authorization", "Bearer "+c.keys[1])
	message := &collections.UploadDocumentRequest{CollectionId: "collection_" + d.collections[0].String(), Name: "message.bin", Data: make([]byte, 19<<20), ContentType: "application/octet-stream"}
	peak, _ = m.during(func() {
		_, err := collections.NewCollectionsClient(c.control).UploadDocument(ctx, message)
		d.must(err)
	})
	m.t.Logf("one message of %s over gRPC adds %s", mib(int64(len(message.Data))), mib(peak-idle))
}

func (c *clerk) largeFile(ctx context.Context, body io.Reader) (gatehouse.ID, error) {
	f, err := c.files.UploadFile(ctx, "large.bin", body, 0)
	if err != nil {
		return gatehouse.ID{}, err
	}
	return f.ID, nil
}

func (c *clerk) largeDocument(ctx context.Context, body io.Reader) (gatehouse.ID, error) {
	d, err := c.management.UploadDocument(ctx, c.collections[0], gatehouse.NewFile{Name: "large.bin", Content: body}, nil)
	if err != nil {
		return gatehouse.ID{}, err
	}
	return d.FileID, nil
}

// largeStream sends messages of 3 MiB, as xAI's SDK does.
func (c *clerk) largeStream(ctx context.Context, body io.Reader) (id gatehouse.ID, err error) {
	stream, err := xai.NewFilesClient(c.gateway).UploadFile(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.keys[0]))
	if err != nil {
		return id, err
	}
	err = stream.Send(&xai.UploadFileChunk{Chunk: &xai.UploadFileChunk_Init{Init: &xai.UploadFileInit{Name: "large.bin"}}})
	for buffer := make([]byte, 3<<20); err == nil; {
		var n int
		if n, err = io.ReadFull(body, buffer); n > 0 {
			if e := stream.Send(&xai.UploadFileChunk{Chunk: &xai.UploadFileChunk_Data{Data: buffer[:n]}}); e != nil {
				break
			}
		}
	}
	f, err := stream.CloseAndRecv()
	if err != nil {
		return id, err
	}
	return gatehouse.ParseID(strings.TrimPrefix(f.Id, "file_"))
}

// large is bytes that no two uploads share, made as they are read.
type large struct {
	io.Reader
	hash hash.Hash
}

func newLarge(size int64) *large {
	var seed [32]byte
	copy(seed[:], strconv.FormatUint(rand.Uint64(), 10))
	sum := sha256.New()
	return &large{io.TeeReader(io.LimitReader(rand.NewChaCha8(seed), size), sum), sum}
}

func (l *large) sum() string { return hex.EncodeToString(l.hash.Sum(nil)) }

// memory reads what a process takes of it, in bytes.
type memory struct {
	t      *testing.T
	pid    int
	binary string
}

// idle is the most that the process takes while nobody asks it anything.
func (m *memory) idle() int64 {
	peak, _ := m.during(func() { time.Sleep(2 * time.Second) })
	return peak
}

// during returns the most that the process takes while f runs, and the most of
// any of its extractions.
func (m *memory) during(f func()) (peak, child int64) {
	m.t.Helper()
	var stop atomic.Bool
	most := make(chan int64)
	go func() {
		n := int64(0)
		for ; !stop.Load(); time.Sleep(5 * time.Millisecond) {
			n = max(n, m.extraction())
		}
		most <- n
	}()
	// 5 makes the peak what is taken now (proc(5), since Linux 4.0).
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", m.pid), []byte("5"), 0); err != nil {
		m.t.Skipf("the peak of a process cannot be reset here: %v", err)
	}
	f()
	peak = peakOf(fmt.Sprint(m.pid))
	stop.Store(true)
	return peak, <-most
}

// extraction is the peak of the children that extract just now.
func (m *memory) extraction() (most int64) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		if text, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(text), m.binary+"\x00"+extract.Command) {
			most = max(most, peakOf(filepath.Base(filepath.Dir(path))))
		}
	}
	return most
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakOf is the most memory that a process took; 0 when it has gone.
func peakOf(pid string) int64 {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if m := highWater.FindSubmatch(text); err == nil && m != nil {
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		return n << 10
	}
	return 0
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
