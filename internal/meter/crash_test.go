package meter

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse"
)

const crashDir = "GATEHOUSE_TEST_JOURNAL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
		return
	}
	os.Exit(m.Run())
}

// crashChild writes to a journal until it is killed. What it promised goes to
// standard output in lines of one write(2) each: "b id" after Begin returned,
// "c id" after Close did. It ships nothing.
func crashChild(dir string) {
	j, err := Open(dir, Options{Gateway: fixedID(9), SegmentSize: MinSegmentSize, SyncEvery: 4 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				e, err := j.Begin(newOpen())
				if err != nil {
					panic(err)
				}
				fmt.Fprintf(os.Stdout, "b %s\n", e.ID())
				if err := e.Object("resp_" + e.ID().String()); err != nil {
					panic(err)
				}
				fmt.Fprintf(os.Stdout, "o %s\n", e.ID())
				if err := e.Close(sampleClose()); err != nil {
					panic(err)
				}
				fmt.Fprintf(os.Stdout, "c %s\n", e.ID())
			}
		})
	}
	wg.Wait()
}

// promises runs the child for a while, kills it with SIGKILL, and returns what
// it had said until then.
func promises(t *testing.T, dir string) (said map[string]map[string]bool) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said = map[string]map[string]bool{"b": {}, "o": {}, "c": {}}
	after := 50 + rand.IntN(5_000)
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		what, id, ok := strings.Cut(lines.Text(), " ")
		if ok && len(id) == 36 {
			said[what][id] = true
		}
		if n == after {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	return said
}

// Whatever a killed process had promised is there: closed requests as they
// were closed, begun ones at least as an estimate, each exactly once.
func TestKillLosesNothingThatWasAcknowledged(t *testing.T) {
	runs := 8
	if testing.Short() {
		runs = 2
	}
	dir, sink := t.TempDir(), newMemorySink()
	said := map[string]map[string]bool{"b": {}, "o": {}, "c": {}}
	for range runs {
		for what, ids := range promises(t, dir) {
			for id := range ids {
				said[what][id] = true
			}
		}
	}
	j := openJournal(t, dir, Options{})
	drain(t, NewShipper(j, sink, ShipperOptions{}))
	t.Logf("%d kills: %d begun, %d closed, %d rows", runs, len(said["b"]), len(said["c"]), len(sink.rows))
	if sink.repeats != 0 {
		t.Errorf("%d rows came twice", sink.repeats)
	}
	for id := range said["b"] {
		r, ok := sink.rows[mustID(t, id)]
		if !ok {
			t.Fatalf("begun request %s has no row", id)
		}
		if said["c"][id] && r.Outcome != gatehouse.Completed {
			t.Fatalf("closed request %s became %s", id, r.Outcome)
		}
	}
	for id := range said["o"] {
		if _, ok := sink.objects["resp_"+id]; !ok {
			t.Fatalf("the object of %s has no owner", id)
		}
	}
	if n := len(sink.rows) - len(said["b"]); n < 0 || n > 8*runs { // begun, and killed before saying so
		t.Errorf("%d rows more than promised", n)
	}
}

func mustID(t *testing.T, s string) gatehouse.ID {
	id, err := gatehouse.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
