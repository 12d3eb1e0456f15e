package extract

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func noChildren(t *testing.T) {
	t.Helper()
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("a child is left: %d, %v", pid, err)
	}
}

// probe tries what a parser has no business doing, and says what it could.
func probe() {
	could := func(what string, err error) {
		if err == nil {
			say(line{Part: Part{Text: what + "\n"}})
		}
	}
	_, err := os.Open("/etc/passwd")
	could("read a file", err)
	_, err = os.Open("/proc/self/environ")
	could("read its environment", err)
	could("write a file", os.WriteFile("slip", []byte("x"), 0o600))
	_, err = os.ReadDir(".")
	could("list its directory", err)
	for _, network := range []string{"tcp", "udp", "unix"} {
		_, err = net.Dial(network, map[string]string{"tcp": "127.0.0.1:9", "udp": "127.0.0.1:9", "unix": "/dev/log"}[network])
		could("dial "+network, err)
	}
	_, err = net.Listen("tcp", "127.0.0.1:0")
	could("listen", err)
	could("run a program", exec.Command("/proc/self/exe", "version").Start())
	_, err = os.Stdin.WriteAt([]byte("changed"), 0)
	could("change the document", err)
	could("raise a limit", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 100, Max: 100}))
	for _, v := range os.Environ() {
		could("see "+v, nil)
	}
	isolated := true
	if _, err := os.Stat("/proc"); err == nil {
		isolated = false
	}
	say(line{End: &Result{Kind: Plain, Isolated: isolated}})
}

func TestAChildCanDoNothing(t *testing.T) {
	t.Setenv("GATEHOUSE_CANARY", "secret")
	for _, plain := range []bool{false, true} {
		x := extractor(t)
		x.plain = plain
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		_, _ = f.WriteString("document")
		var could string
		r, err := x.Extract(t.Context(), Document{Name: "a.probes", Body: f}, func(p Part) error { could += p.Text; return nil })
		if plain && os.Getuid() == 0 { // the machine's root may raise limits; nothing it raises opens a file in an empty directory
			could = strings.Replace(could, "raise a limit\n", "", 1)
		}
		if err != nil || could != "" {
			t.Errorf("without namespaces %v, it could: %s%v", plain, could, err)
		}
		t.Logf("isolated: %v", r.Isolated)
		if plain && r.Isolated {
			t.Error("it says that it is isolated")
		}
		if b, _ := os.ReadFile(f.Name()); string(b) != "document" {
			t.Errorf("the document is now %q", b)
		}
	}
}

// TestAChildDiesWithItsParent runs itself as the parent, and kills it.
func TestAChildDiesWithItsParent(t *testing.T) {
	if dir := os.Getenv("EXTRACT_PARENT"); dir != "" {
		x := extractor(t)
		x.Dir = dir
		_, _ = x.Extract(t.Context(), Document{Name: "a.sleeps", Body: strings.NewReader("x")}, func(p Part) error { fmt.Println("pid " + p.Text); return nil })
		return
	}
	self, _ := os.Executable()
	parent := exec.Command(self, "-test.run", "^TestAChildDiesWithItsParent$", "-test.v")
	parent.Env = append(os.Environ(), "EXTRACT_PARENT="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	fd := -1
	for s := bufio.NewScanner(out); fd < 0 && s.Scan(); {
		if pid, found := strings.CutPrefix(s.Text(), "pid "); found {
			n, _ := strconv.Atoi(pid)
			if fd, err = unix.PidfdOpen(n, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10000); n != 1 {
		t.Errorf("the child outlives its parent: %v", err)
	}
	_ = unix.Close(fd)
}

// A document of 100 MB passes through with 32 MB of the parent's memory.
func TestLargeDocumentsPassThrough(t *testing.T) {
	size := 100 << 20
	if testing.Short() {
		size = 20 << 20
	}
	noise := func() []byte {
		b := make([]byte, size-(1<<20))
		_, _ = rand.NewChaCha8([32]byte{}).Read(b)
		return b
	}
	for _, test := range []struct {
		name string
		body func() []byte // so that this process holds none while it is read
		text int64
	}{
		{"a.txt", func() []byte { return bytes.Repeat([]byte("words of a line, forty bytes of them all\n"), size/41) }, int64(size/41) * 41},
		{"a.html", func() []byte {
			return append([]byte("<html>"), bytes.Repeat([]byte("<p>words <b>of</b> a page</p>\n"), size/4/31)...)
		}, 0},
		{"a.docx", func() []byte { return docxOf(t, paragraph("words"), part{"word/media/image.png", string(noise())}) }, 6},
		{"a.xlsx", func() []byte { return withMedia(t, sampleXLSX(t), noise()) }, 0},
	} {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write(test.body())
		before := peak(t)
		start := time.Now()
		r, err := extractor(t).Extract(t.Context(), Document{Name: test.name, Body: f}, drop)
		grown := memory(t, "VmHWM") - before
		_ = f.Close()
		if err != nil || test.text > 0 && r.Bytes != test.text {
			t.Errorf("%s: %+v, %v", test.name, r, err)
		}
		if grown > 32<<20 {
			t.Errorf("%s: the parent grew by %d MiB", test.name, grown>>20)
		}
		t.Logf("%s: %d MiB of text in %v, the parent grew by %d KiB", test.name, r.Bytes>>20, time.Since(start), grown>>10)
	}
}

// peak starts the count of the most memory anew, and says what there is now.
func peak(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory() // else what is free hides what is new
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skip("the kernel does not count anew: ", err)
	}
	return memory(t, "VmHWM")
}

func memory(t *testing.T, name string) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), name+":")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// Damaged PDFs are read in children: the library may follow a loop for ever.
func TestDamagedPDFsEnd(t *testing.T) {
	x := extractor(t)
	x.Limits = DefaultLimits()
	x.Limits.CPU = time.Second
	looping := pdfOf("1.4", "/Prev 0000000000", "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[]>>")
	at := bytes.LastIndex(looping, []byte("xref\n0 "))
	looping = bytes.Replace(looping, []byte("/Prev 0000000000"), fmt.Appendf(nil, "/Prev %010d", at), 1)
	if _, err := x.Extract(t.Context(), Document{Name: "a.pdf", Body: bytes.NewReader(looping)}, drop); ClassOf(err) == "" {
		t.Errorf("tables that lead to each other: %v", err)
	} else {
		t.Log(err)
	}
	body := samplePDF(t)
	for i := 0; i < len(body); i += 1 + len(body)/25 {
		flipped := bytes.Clone(body)
		flipped[i] ^= 1 << (i % 8)
		for _, b := range [][]byte{body[:i], flipped} {
			if _, err := x.Extract(t.Context(), Document{Name: "a.pdf", Body: bytes.NewReader(b)}, drop); err != nil && ClassOf(err) == "" {
				t.Errorf("at %d: %v", i, err)
			}
		}
	}
	noChildren(t)
}
