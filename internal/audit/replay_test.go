package audit

import (
	"bytes"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"gatehouse"
)

// A row whose revision is not its head's is not served; so the heads must be
// what the events say, no more and no less.
func TestHeadsAreTheLastActsThatChangedSomething(t *testing.T) {
	in := newInstallation(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		var leaves []Leaf
		want := make(Heads)
		for i := range rapid.Int64Range(0, 30).Draw(t, "n") {
			e := drawEvent(t)
			e.Index, e.Revision.N = i, i
			e.Result = rapid.SampledFrom([]gatehouse.Result{gatehouse.Done, gatehouse.Denied, gatehouse.Read}).Draw(t, "result")
			e.Kind = rapid.SampledFrom([]gatehouse.Kind{gatehouse.KindKey, gatehouse.KindTeam}).Draw(t, "kind")
			e.Subject = rapid.SampledFrom([]string{"", "a", "b", "models/\"x\"\n"}).Draw(t, "subject")
			want.Note(e)
			leaves = append(leaves, in.leaf(e))
		}
		tr := newTree()
		for _, l := range leaves {
			tr.append(LeafHash(l.Body))
		}
		got, err := Replay(source(leaves), int64(len(leaves)), tr.frontier())
		if err != nil || !maps.Equal(got, want) {
			t.Fatalf("%v, %v, want %v", got, err, want)
		}
	})
}

func TestHeadsNameWhatChanged(t *testing.T) {
	h := make(Heads)
	e := event(0)
	e.Result = gatehouse.Denied
	h.Note(e)
	if len(h) != 0 {
		t.Error("a denied call is not a change")
	}
	e.Result = gatehouse.Done
	h.Note(e)
	if h[Subject{e.Kind, e.Subject}] != e.Revision {
		t.Errorf("%v", h)
	}
}

func TestReplayRefusesALogThatIsNotTheStoredTree(t *testing.T) {
	in := newInstallation(t, 1)
	leaves := in.log(30)
	frontier := frontierOf(t, leaves)
	if _, err := Replay(source(leaves), 30, frontier); err != nil {
		t.Fatal(err)
	}
	edited := copyLog(leaves)
	edited[11].Body = bytes.Replace(edited[11].Body, []byte("was updated"), []byte("was read"), 1)
	moved := copyLog(leaves)
	moved[3].Body, moved[4].Body = moved[4].Body, moved[3].Body
	for name, log := range map[string][]Leaf{
		"edited": edited, "moved": moved, "cut": leaves[:29], "without one": append(copyLog(leaves[:5]), leaves[6:]...), "empty": nil,
	} {
		if _, err := Replay(source(log), 30, frontier); gatehouse.CodeOf(err) != gatehouse.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Replay(source(leaves), 31, frontier); gatehouse.CodeOf(err) != gatehouse.Internal {
		t.Error("another size was taken")
	}
}

func BenchmarkReplay(b *testing.B) {
	in := newInstallation(b, 1)
	leaves := in.log(20_000)
	frontier := frontierOf(b, leaves)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Replay(source(leaves), int64(len(leaves)), frontier); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(leaves))/b.Elapsed().Seconds(), "leaves/s")
}

func BenchmarkEncodeAndAppend(b *testing.B) {
	e := event(1000)
	frontier := make([][32]byte, 6) // of size 1000
	b.ReportAllocs()
	for b.Loop() {
		body, _ := Encode(e, Commit, Salt)
		if _, err := Append(frontier, 1000, LeafHash(body)); err != nil {
			b.Fatal(err)
		}
	}
}
