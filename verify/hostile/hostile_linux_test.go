package hostile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/library/extract"
)

// TestMain is the child as well.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != extract.Command {
		os.Exit(m.Run())
	}
	if err := extract.Child(os.Args[2], os.Stdin, os.Stdout); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// most is what a document may cost, its child's memory and the host's together.
const most = 256 * MiB

// TestEveryDocumentEndsInAClass: with text or with a reason that is the
// document's, within the memory of the goal, and with nothing written anywhere.
func TestEveryDocumentEndsInAClass(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	x := &extract.Extractor{Executable: self, Dir: filepath.Join(dir, "spool"), Limits: extract.DefaultLimits()}
	x.Limits.CPU = 3 * time.Second // of thirty, so that what spins is soon over
	var worst int64
	var what string
	for _, d := range Corpus() {
		if testing.Short() && strings.Contains(d.What, "MiB") {
			continue
		}
		began := time.Now()
		class, memory := extracted(t, x, dir, d)
		if !slices.Contains(d.Want, class) {
			t.Errorf("%s: %s, want one of %v", d.What, class, d.Want)
		}
		if memory > most {
			t.Errorf("%s: takes %d MiB", d.What, memory/MiB)
		}
		if memory > worst {
			worst, what = memory, d.What
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Logf("%s: %s in %v, %d MiB", d.What, class, took.Round(100*time.Millisecond), memory/MiB)
		}
	}
	t.Logf("the most memory is %d MiB, of %s", worst/MiB, what)
	if left, _ := filepath.Glob(os.TempDir() + "/gatehouse-slip*"); len(left) > 0 {
		t.Errorf("an archive wrote %v", left)
	}
	if left, _ := os.ReadDir(x.Dir); len(left) != 1 || left[0].Name() != "empty" {
		t.Errorf("spooled files are left: %v", left)
	}
	if left, _ := os.ReadDir(filepath.Join(x.Dir, "empty")); len(left) != 0 {
		t.Errorf("a child wrote %v", left)
	}
}

// extracted is how a document ended, and the most memory that its child had and
// this process took for it.
func extracted(t *testing.T, x *extract.Extractor, dir string, d Document) (class string, memory int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "document"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(d.Body()); err != nil {
		t.Fatal(err)
	}
	before := peak(t)
	w := watch()
	_, err = x.Extract(t.Context(), extract.Document{Name: d.Name, Type: d.Type, Body: f}, func(p extract.Part) error {
		if strings.Contains(p.Text, "root:") {
			t.Errorf("%s: a file of the host: %q", d.What, p.Text)
		}
		return nil
	})
	memory = w.end() + max(0, field(t, "/proc/self/status", "VmHWM")-before)
	if class = string(extract.ClassOf(err)); err == nil {
		class = text
	} else if class == "" {
		class = err.Error()
	}
	return class, memory
}

// peak starts the count of the most memory anew, and says what there is now.
func peak(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory() // else what is free hides what is new
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skip("the kernel does not count anew: ", err)
	}
	return field(t, "/proc/self/status", "VmHWM")
}

// watcher looks at the children of this process.
type watcher struct {
	stop chan struct{}
	most atomic.Int64
}

func watch() *watcher {
	w := &watcher{stop: make(chan struct{})}
	go func() {
		w.stop <- struct{}{} // it runs
		for {
			select {
			case <-w.stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			lists, _ := filepath.Glob("/proc/self/task/*/children")
			for _, list := range lists {
				b, _ := os.ReadFile(list)
				for pid := range bytes.FieldsSeq(b) {
					w.look(string(pid))
				}
			}
		}
	}()
	<-w.stop
	return w
}

// look reads the most memory that a child had since it began as what it is:
// before that it is still a copy of this process.
func (w *watcher) look(pid string) {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%s/cmdline", pid))
	if !bytes.Contains(name, []byte(extract.Command)) {
		return
	}
	if n := read(fmt.Sprintf("/proc/%s/status", pid), "VmHWM"); n > w.most.Load() {
		w.most.Store(n)
	}
}

func (w *watcher) end() int64 {
	w.stop <- struct{}{}
	return w.most.Load()
}

// read is a field of a status file in bytes; 0 where there is none.
func read(file, name string) int64 {
	b, _ := os.ReadFile(file)
	_, rest, _ := strings.Cut(string(b), name+":")
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(f[0], 10, 64)
	return n << 10
}

func field(t *testing.T, file, name string) int64 {
	t.Helper()
	n := read(file, name)
	if n == 0 {
		t.Fatalf("%s has no %s", file, name)
	}
	return n
}
