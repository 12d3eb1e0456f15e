package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"gatehouse"
)

func TestAnExportedLeafReadsBackToTheByte(t *testing.T) {
	in := newInstallation(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		l := in.leaf(drawEvent(t))
		line := ExportLine(l)
		if !json.Valid(line) || bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("not one line of JSON: %q", line)
		}
		got, err := ParseExportLine(line)
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if diff := cmp.Diff(l, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAnExportFileProvesAsMuchAsTheDatabase(t *testing.T) {
	in := newInstallation(t, 1)
	leaves := in.log(50)
	checkpoint := in.checkpoint(t, leaves[:48])
	var file bytes.Buffer
	for _, l := range leaves {
		file.Write(ExportLine(l))
	}
	got, err := Verify(ReadExport(bytes.NewReader(file.Bytes())), checkpoint, in.vkey)
	if err != nil || got != (Report{Size: 48, Checked: 50, FirstBad: -1, After: 2}) {
		t.Errorf("%+v, %v", got, err)
	}
	lines := strings.SplitAfter(file.String(), "\n")
	edited := strings.Join(lines[:17], "") + strings.Replace(lines[17], "'ci'", "'cd'", 1) + strings.Join(lines[18:], "")
	without := strings.Join(lines[:23], "") + strings.Join(lines[24:], "")
	for text, want := range map[string]int64{edited: 17, without: 23, strings.Join(lines[:40], ""): 40} {
		got, err := Verify(ReadExport(strings.NewReader(text)), checkpoint, in.vkey)
		if err != nil || got.FirstBad != want {
			t.Errorf("%+v, %v, want %d", got, err, want)
		}
	}
}

func TestALineThatIsNoLeafIsAnErrorWithItsNumber(t *testing.T) {
	in := newInstallation(t, 1)
	good := string(ExportLine(in.log(1)[0]))
	for name, bad := range map[string]string{
		"words": "hello", "cut": good[:len(good)/2], "reordered": `{"event":{},"index":0}`,
		"bad signature":   strings.Replace(good, `"signature":"`, `"signature":"*`, 1),
		"trailing":        strings.TrimSpace(good) + "x",
		"negative":        strings.Replace(good, `"index":0`, `"index":-1`, 1),
		"two on one line": strings.TrimSpace(good) + good,
	} {
		if _, err := ParseExportLine([]byte(bad)); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
		for _, err := range ReadExport(strings.NewReader(good + "\n" + bad + "\n")) {
			if err != nil && !strings.Contains(err.Error(), "line 3") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	long := strings.NewReader(strings.Repeat("x", maxLine+1))
	for _, err := range ReadExport(long) {
		if err == nil {
			t.Error("an endless line was taken")
		}
	}
}

func FuzzParseExportLine(f *testing.F) {
	body, personal := Encode(event(2), Commit, fixedSalt)
	f.Add(ExportLine(Leaf{2, body, personal, make([]byte, 64)}))
	f.Add([]byte(`{"index":0,"event":1,"personal":null,"signature":""}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := ParseExportLine(line)
		if err != nil {
			return
		}
		again, err := ParseExportLine(ExportLine(l))
		if err != nil || !cmp.Equal(l, again, cmpopts.EquateEmpty()) {
			t.Fatalf("%v\n%s", err, cmp.Diff(l, again))
		}
	})
}
