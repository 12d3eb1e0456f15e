//go:build linux

package extract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// TestMain is the child as well, and a misbehaving one where a test asks for it
// by a document's ending.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != Command {
		os.Exit(m.Run())
	}
	var r request
	_ = json.Unmarshal([]byte(os.Args[2]), &r)
	act := acts[r.Ending]
	if act == nil {
		if err := Child(os.Args[2], os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	isolated, err := lockDown(r.Limits)
	if err != nil {
		os.Exit(1)
	}
	say(line{Begun: &begun{isolated}})
	act()
	os.Exit(0)
}

func say(l line) {
	b, _ := json.Marshal(l)
	_, _ = os.Stdout.Write(append(b, '\n'))
}

var (
	eaten [][]byte
	acts  = map[string]func(){
		".spins": func() {
			for { //nolint:revive // that is the point
			}
		},
		".sleeps": func() { say(line{Part: Part{Text: fmt.Sprint(os.Getpid())}}); <-time.After(time.Hour) },
		".eats": func() {
			for {
				eaten = append(eaten, bytes.Repeat([]byte{1}, 1<<20))
			}
		},
		".nests": func() {
			var f func(int) int
			f = func(n int) int { return f(n+1) + 1 }
			f(0)
		},
		".floods": func() {
			for {
				say(line{Part: Part{Text: strings.Repeat("a", 1000)}})
			}
		},
		".drones": func() {
			for {
				_, _ = os.Stdout.WriteString("aaaaaaaaaaaaaaaa")
			}
		},
		".babbles": func() { _, _ = os.Stdout.WriteString("{words\n") },
		".claims":  func() { say(line{Fault: &problem{Class: "invented", Message: "words"}}) },
		".leaves":  func() {},
		".probes":  probe,
	}
)

func extractor(t *testing.T) *Extractor {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &Extractor{Executable: self, Dir: t.TempDir()}
}

func drop(Part) error { return nil }

func TestDocumentsAreReadInAChild(t *testing.T) {
	x := extractor(t)
	for name, body := range map[string][]byte{"a.docx": sampleDOCX(t), "a.pptx": samplePPTX(t), "a.xlsx": sampleXLSX(t), "a.odt": sampleODT(t),
		"a.pdf": samplePDF(t), "a.html": []byte("<html><p>words</p>"), "a.txt": []byte("words")} {
		want, kind, err := here(body, name, "", DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		var got []Part
		r, err := x.Extract(t.Context(), Document{Name: name, Body: bytes.NewReader(body)}, func(p Part) error { got = append(got, p); return nil })
		if err != nil || r.Kind != kind.Kind || r.Bytes == 0 || joined(got) != strings.TrimSuffix(joined(want), "[page 0]") {
			t.Errorf("%s: %+v, %v\n got %q\nwant %q", name, r, err, joined(got), joined(want))
		}
	}
	left, _ := os.ReadDir(x.Dir)
	if len(left) != 1 || left[0].Name() != "empty" {
		t.Errorf("left behind: %v", left)
	}
}

func TestFilesAreReadWhereTheyAre(t *testing.T) {
	x := extractor(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "blob"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, _ = f.WriteString("words in a file") // its offset is at the end
	var text string
	if _, err := x.Extract(t.Context(), Document{Name: "a.txt", Body: f}, func(p Part) error { text += p.Text; return nil }); err != nil || text != "words in a file" {
		t.Errorf("%q, %v", text, err)
	}
	if left, _ := os.ReadDir(x.Dir); len(left) != 1 {
		t.Errorf("it was copied: %v", left)
	}
}

// Whatever a child does, its parent says what is wrong and has no child left.
func TestMisbehavingChildrenAreEnded(t *testing.T) {
	limits := DefaultLimits()
	limits.CPU, limits.Memory, limits.Text = time.Second, 64<<20, 1<<20 // the runtime alone takes half of it on a busy machine
	hasty := limits
	hasty.Wall = 300 * time.Millisecond
	for ending, test := range map[string]struct {
		l    Limits
		want Class
	}{
		".spins": {limits, TimedOut}, ".sleeps": {hasty, TimedOut}, ".eats": {limits, TooLarge}, ".nests": {limits, ""}, ".floods": {limits, TooLarge},
		".drones": {limits, Damaged}, ".babbles": {limits, Damaged}, ".leaves": {limits, Damaged}, ".claims": {limits, "invented"},
	} {
		x := extractor(t)
		x.Limits = test.l
		r, err := x.Extract(t.Context(), Document{Name: "a" + ending, Body: strings.NewReader("x")}, drop)
		if got := ClassOf(err); err == nil || got == "" || test.want != "" && got != test.want {
			t.Errorf("%s: %+v, %v", ending, r, err)
		}
		noChildren(t)
	}
}

func TestTheirTimeStandsStillWhileOthersWork(t *testing.T) {
	x := extractor(t)
	x.Limits = DefaultLimits()
	x.Limits.Wall = 5 * time.Second
	r := &run{limits: x.Limits, left: x.Limits.Wall, out: io.NopCloser(strings.NewReader(`{"text":"a"}` + "\n"))}
	r.ctx, r.cancel = context.WithCancelCause(t.Context())
	r.yield = func(Part) error { r.left += time.Hour; return nil } // what it would have lost
	r.read()
	if r.left < 50*time.Minute || r.err != nil {
		t.Errorf("%v left, %v", r.left, r.err)
	}
}

func TestWhoeverTakesTheTextMayStop(t *testing.T) {
	x, enough := extractor(t), errors.New("enough")
	if _, err := x.Extract(t.Context(), Document{Name: "a.sleeps", Body: strings.NewReader("x")}, func(Part) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	noChildren(t)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := x.Extract(ctx, Document{Name: "a.sleeps", Body: strings.NewReader("x")}, func(Part) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	noChildren(t)
}

func TestWhatIsNotTheDocumentsFaultIsNoClass(t *testing.T) {
	x := extractor(t)
	x.Executable = "/nonexistent"
	_, err := x.Extract(t.Context(), Document{Name: "a.txt", Body: strings.NewReader("x")}, drop)
	if ClassOf(err) != "" || gatehouse.CodeOf(err) != gatehouse.Internal {
		t.Error(err)
	}
	x.Executable = "/bin/false"
	_, err = x.Extract(t.Context(), Document{Name: "a.txt", Body: strings.NewReader("x")}, drop)
	if ClassOf(err) != "" || gatehouse.CodeOf(err) != gatehouse.Internal {
		t.Error(err)
	}
}

func TestInputsAreBounded(t *testing.T) {
	x := extractor(t)
	x.Limits = DefaultLimits()
	x.Limits.Input = 10
	if _, err := x.Extract(t.Context(), Document{Name: "a.txt", Body: strings.NewReader("eleven bytes")}, drop); ClassOf(err) != TooLarge {
		t.Error(err)
	}
}
