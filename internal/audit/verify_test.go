package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gatehouse"
)

func TestAnUntouchedLogVerifies(t *testing.T) {
	in := newInstallation(t, 1)
	leaves := in.log(40)
	leaves[4].Personal = nil // erased
	for _, size := range []int{0, 1, 7, 39, 40} {
		got, err := Verify(source(leaves), in.checkpoint(t, leaves[:size]), in.vkey)
		want := Report{Size: int64(size), Checked: 40, FirstBad: -1, After: int64(40 - size)}
		if err != nil || got != want || !got.OK() {
			t.Errorf("size %d: %+v, %v", size, got, err)
		}
	}
}

// tampering changes a log at an index; the verifier must name want.
type tampering struct {
	name string
	do   func(t *rapid.T, in installation, log []Leaf, at int) (tampered []Leaf, want int)
}

func tamperings() []tampering {
	same := func(f func(t *rapid.T, in installation, l *Leaf)) func(*rapid.T, installation, []Leaf, int) ([]Leaf, int) {
		return func(t *rapid.T, in installation, log []Leaf, at int) ([]Leaf, int) {
			f(t, in, &log[at])
			return log, at
		}
	}
	return []tampering{
		{"a bit of a body", same(func(t *rapid.T, _ installation, l *Leaf) {
			l.Body[rapid.IntRange(0, len(l.Body)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		})},
		{"an edited body", same(func(_ *rapid.T, _ installation, l *Leaf) {
			l.Body = bytes.Replace(l.Body, []byte(`'ci' was updated`), []byte(`'ci' was read`), 1)
		})},
		{"a cut body", same(func(t *rapid.T, _ installation, l *Leaf) {
			l.Body = l.Body[:rapid.IntRange(0, len(l.Body)-1).Draw(t, "length")]
		})},
		{"an edited body, signed by somebody else", same(func(_ *rapid.T, _ installation, l *Leaf) {
			l.Body = bytes.Replace(l.Body, []byte("was updated"), []byte("was read"), 1)
			l.Signature = ed25519.Sign(ed25519.NewKeyFromSeed(make([]byte, 32)), LeafMessage(l.Index, LeafHash(l.Body)))
		})},
		{"an edited body, unsigned", same(func(_ *rapid.T, _ installation, l *Leaf) {
			l.Body = bytes.Replace(l.Body, []byte("was updated"), []byte("was read"), 1)
			l.Signature = nil
		})},
		{"a deleted leaf", func(_ *rapid.T, _ installation, log []Leaf, at int) ([]Leaf, int) {
			return slices.Delete(log, at, at+1), at
		}},
		{"a deleted leaf, the rest renumbered", func(_ *rapid.T, _ installation, log []Leaf, at int) ([]Leaf, int) {
			log = slices.Delete(log, at, at+1)
			for i := at; i < len(log); i++ {
				log[i].Index--
			}
			return log, at
		}},
		{"a deleted leaf, the rest renumbered inside too", func(_ *rapid.T, _ installation, log []Leaf, at int) ([]Leaf, int) {
			log = slices.Delete(log, at, at+1)
			for i := at; i < len(log); i++ {
				log[i].Index--
				log[i].Body = bytes.Replace(log[i].Body, fmt.Appendf(nil, `"index":%d,`, i+1), fmt.Appendf(nil, `"index":%d,`, i), 1)
			}
			return log, at
		}},
		{"an inserted leaf", func(_ *rapid.T, in installation, log []Leaf, at int) ([]Leaf, int) {
			return slices.Insert(log, at, log[at]), at + 1
		}},
		{"two leaves in each other's place", func(t *rapid.T, _ installation, log []Leaf, at int) ([]Leaf, int) {
			to := rapid.IntRange(0, len(log)-1).Filter(func(i int) bool { return i != at }).Draw(t, "to")
			log[at], log[to] = log[to], log[at]
			return log, min(at, to)
		}},
		{"two leaves in each other's rows", func(t *rapid.T, _ installation, log []Leaf, at int) ([]Leaf, int) {
			to := rapid.IntRange(0, len(log)-1).Filter(func(i int) bool { return i != at }).Draw(t, "to")
			log[at], log[to] = log[to], log[at]
			log[at].Index, log[to].Index = int64(at), int64(to)
			return log, min(at, to)
		}},
		{"a cut tail", func(_ *rapid.T, _ installation, log []Leaf, at int) ([]Leaf, int) {
			return log[:at], at
		}},
		{"everything rewritten from there on", func(_ *rapid.T, _ installation, log []Leaf, at int) ([]Leaf, int) {
			evil := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{66}, 32))
			for i := at; i < len(log); i++ {
				e := event(int64(i))
				e.Actor.UserID = gatehouse.ID{99}
				log[i].Body, log[i].Personal = Encode(e, Commit, Salt)
				log[i].Signature = ed25519.Sign(evil, LeafMessage(e.Index, LeafHash(log[i].Body)))
			}
			return log, at
		}},
		{"a leaf of another index, with its good signature", func(t *rapid.T, in installation, log []Leaf, at int) ([]Leaf, int) {
			from := rapid.IntRange(0, len(log)-1).Filter(func(i int) bool { return i != at }).Draw(t, "from")
			log[at] = log[from]
			log[at].Index = int64(at)
			return log, at
		}},
		{"personal data that was not committed to", func(t *rapid.T, in installation, log []Leaf, at int) ([]Leaf, int) {
			forged := event(int64(at))
			forged.Actor.IP = "198.51.100.1"
			_, log[at].Personal = Encode(forged, Commit, Salt)
			return log, at
		}},
		{"personal data that is garbage", func(t *rapid.T, in installation, log []Leaf, at int) ([]Leaf, int) {
			log[at].Personal = []byte(rapid.SampledFrom([]string{"{", "[]", "x", `{"name":{"salt":"","value":"x"}}`, `{"ip":{}}`}).Draw(t, "personal"))
			return log, at
		}},
	}
}

// Whatever is done to the log by who can write the database but has neither
// the signing key nor the checkpoint, the first bad index is named, exactly.
// Half the time there is a second edit behind the first, to be kept silent about.
func TestEveryTamperingIsNamedByItsFirstIndex(t *testing.T) {
	in := newInstallation(t, 1)
	const size = 40
	leaves := in.log(size)
	checkpoint := in.checkpoint(t, leaves)
	for _, tamper := range tamperings() {
		t.Run(tamper.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				log, want := tamper.do(t, in, copyLog(leaves), rapid.IntRange(0, size-1).Draw(t, "at"))
				if rapid.Bool().Draw(t, "more") && want+1 < len(log) {
					second := rapid.IntRange(want+1, len(log)-1).Draw(t, "second")
					log[second].Body = append(bytes.Clone(log[second].Body), ' ')
				}
				got, err := Verify(source(log), checkpoint, in.vkey)
				if err != nil || got.OK() || got.FirstBad != int64(want) || !strings.HasPrefix(got.Problem, fmt.Sprintf("leaf %d ", want)) {
					t.Fatalf("%+v, %v; want %d", got, err, want)
				}
			})
		})
	}
}

// Behind the checkpoint a cut tail cannot be seen; all else is.
func TestLeavesAfterTheCheckpointAreCheckedBySignature(t *testing.T) {
	in := newInstallation(t, 1)
	const size, kept = 40, 20
	leaves := in.log(size)
	checkpoint := in.checkpoint(t, leaves[:kept])
	for _, tamper := range tamperings() {
		if tamper.name == "a cut tail" {
			continue
		}
		t.Run(tamper.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				log, want := tamper.do(t, in, copyLog(leaves), rapid.IntRange(kept, size-1).Draw(t, "at"))
				got, err := Verify(source(log), checkpoint, in.vkey)
				if want == len(log) {
					want = -1 // the last leaf is gone: that is a cut tail
				}
				if err != nil || got.FirstBad != int64(want) {
					t.Fatalf("%+v, %v; want %d", got, err, want)
				}
			})
		})
	}
}

// An edit and a bad personal value: whichever is first is named, although the
// one is found by hashing and the other by signatures, in batches.
func TestTheFirstOfSeveralKindsIsNamed(t *testing.T) {
	in := newInstallation(t, 1)
	leaves := in.log(50)
	checkpoint := in.checkpoint(t, leaves[:45])
	rapid.Check(t, func(t *rapid.T) {
		log := copyLog(leaves)
		edit, personal := rapid.IntRange(0, 49).Draw(t, "edit"), rapid.IntRange(0, 49).Draw(t, "personal")
		log[edit].Body = bytes.Replace(log[edit].Body, []byte("was updated"), []byte("was read"), 1)
		log[personal].Personal = []byte(`{"ip":{"salt":"00","value":"x"}}`)
		got, err := Verify(source(log), checkpoint, in.vkey)
		if err != nil || got.FirstBad != int64(min(edit, personal)) {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func TestAForkSignedWithTheRightKeyContradictsTheCheckpoint(t *testing.T) {
	in := newInstallation(t, 1)
	leaves := in.log(20)
	checkpoint := in.checkpoint(t, leaves)
	e := event(7)
	e.Reason = "another history"
	leaves[7] = in.leaf(e)
	got, err := Verify(source(leaves), checkpoint, in.vkey)
	if err != nil || got.OK() || got.FirstBad != -1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// More than one batch of signatures, and a bad one in any of them.
func TestTheFirstBadSignatureOfManyBatchesIsNamed(t *testing.T) {
	in := newInstallation(t, 1)
	leaves := in.log(2*batchSize + 100)
	checkpoint := in.checkpoint(t, leaves)
	for _, at := range []int{0, batchSize - 1, batchSize, 2*batchSize + 99} {
		log := slices.Clone(leaves)
		for i := at; i < len(log); i += 400 {
			log[i].Body = bytes.Replace(log[i].Body, []byte("was updated"), []byte("was read"), 1)
		}
		if got, err := Verify(source(log), checkpoint, in.vkey); err != nil || got.FirstBad != int64(at) {
			t.Errorf("at %d: %+v, %v", at, got, err)
		}
	}
}

func TestNothingIsJudgedWithoutAGoodCheckpointAndSource(t *testing.T) {
	in, other := newInstallation(t, 1), newInstallation(t, 2)
	leaves := in.log(5)
	if _, err := Verify(source(leaves), other.checkpoint(t, leaves), in.vkey); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
		t.Errorf("foreign checkpoint: %v", err)
	}
	if _, err := Verify(source(leaves), in.checkpoint(t, leaves), "key"); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
		t.Errorf("bad key: %v", err)
	}
	disk := errors.New("disk on fire")
	failing := Each(func(yield func(Leaf) error) error {
		if err := yield(leaves[0]); err != nil {
			return err
		}
		return disk
	})
	if _, err := Verify(failing, in.checkpoint(t, leaves), in.vkey); !errors.Is(err, disk) {
		t.Errorf("failing source: %v", err)
	}
}

func TestACallbackIsASource(t *testing.T) {
	in := newInstallation(t, 1)
	leaves := in.log(30)
	read := Each(func(yield func(Leaf) error) error {
		for _, l := range leaves {
			if err := yield(l); err != nil {
				return err
			}
		}
		return nil
	})
	if got, err := Verify(read, in.checkpoint(t, leaves), in.vkey); err != nil || !got.OK() || got.Checked != 30 {
		t.Errorf("%+v, %v", got, err)
	}
	leaves = copyLog(leaves)
	leaves[3].Index = 9
	if got, err := Verify(read, in.checkpoint(t, leaves), in.vkey); err != nil || got.FirstBad != 3 {
		t.Errorf("stopped early: %+v, %v", got, err)
	}
}

func TestVerifyHeadComparesSizeAndRoot(t *testing.T) {
	in := newInstallation(t, 1)
	leaves := in.log(9)
	f := frontierOf(t, leaves)
	root, _ := Root(f, 9)
	if err := VerifyHead(f, 9, Head{origin, 9, root}); err != nil {
		t.Error(err)
	}
	for _, h := range []Head{{origin, 8, root}, {origin, 9, [32]byte{}}} {
		if err := VerifyHead(f, 9, h); gatehouse.CodeOf(err) != gatehouse.Internal {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	in := newInstallation(b, 1)
	leaves := in.log(20_000)
	checkpoint := in.checkpoint(b, leaves)
	b.Run("sound", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if r, err := Verify(source(leaves), checkpoint, in.vkey); err != nil || !r.OK() {
				b.Fatal(r, err)
			}
		}
		b.ReportMetric(float64(b.N*len(leaves))/b.Elapsed().Seconds(), "leaves/s")
	})
	bad := slices.Clone(leaves)
	bad[len(bad)-1].Body = append(bytes.Clone(bad[len(bad)-1].Body), ' ')
	b.Run(fmt.Sprintf("last leaf edited, %d processors", runtime.GOMAXPROCS(0)), func(b *testing.B) {
		for b.Loop() {
			if r, err := Verify(source(bad), checkpoint, in.vkey); err != nil || r.OK() {
				b.Fatal(r, err)
			}
		}
		b.ReportMetric(float64(b.N*len(leaves))/b.Elapsed().Seconds(), "leaves/s")
	})
	b.Run("export", func(b *testing.B) {
		var file bytes.Buffer
		for _, l := range leaves {
			file.Write(ExportLine(l))
		}
		for b.Loop() {
			if r, err := Verify(ReadExport(bytes.NewReader(file.Bytes())), checkpoint, in.vkey); err != nil || !r.OK() {
				b.Fatal(r, err)
			}
		}
		b.ReportMetric(float64(b.N*len(leaves))/b.Elapsed().Seconds(), "leaves/s")
	})
}
