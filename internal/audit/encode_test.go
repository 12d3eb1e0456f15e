package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gatehouse"
)

func goldenEvents() []gatehouse.Event {
	full := event(2)
	full.Revision = gatehouse.Revision{Epoch: 3, N: 1 << 40}
	full.Time = time.Date(2026, 2, 3, 5, 5, 6, 7999, time.FixedZone("", 3600))
	full.Reason = "quarterly \"clean-up\""
	full.Actor.IP = "2001:db8::7"
	nasty := event(1<<62 + 2)
	nasty.Description = "two\nlines\r\tand \x1b[31m, \u202eesrever\u202c, \u2028, \\ \" é 漢 🙂 </script> \xff"
	nasty.Details = map[string]string{"z": "", "a\nb": "c", "A": "B"}
	nasty.Subject = `openai/"gpt"`
	return []gatehouse.Event{{}, event(1), full, nasty}
}

func fixedSalt() []byte { return []byte("0123456789abcdef") }

// Leaves are kept for ever and their hashes are signed: this file never
// changes. Another format is another version beside it.
func TestFormatOfLeavesIsFinal(t *testing.T) {
	want, err := os.ReadFile("testdata/leaves-v1.golden")
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, e := range goldenEvents() {
		body, personal := Encode(e, Commit, fixedSalt)
		hash := LeafHash(body)
		got.Write(body)
		got.WriteString("\n" + string(personal) + "\n" + hex.EncodeToString(hash[:]) + "\n")
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
}

// The same vectors are in package secret, which makes what this one verifies.
func TestLeafMessageAndCommitmentAreWhatIsSigned(t *testing.T) {
	h := sha256.Sum256([]byte("leaf"))
	want := "67617465686f757365206175646974206c6561660a" + "0000000000000107" + hex.EncodeToString(h[:])
	if got := hex.EncodeToString(LeafMessage(0x107, h)); got != want {
		t.Errorf("message %s", got)
	}
	const commitment = "e5b12e00ede1e59083ce3e052bb1afc5d13aebe2dd89d4c7de9ccc452f145734"
	if got := hex.EncodeToString(Commit(fixedSalt(), "192.0.2.7")); got != commitment {
		t.Errorf("commitment %s", got)
	}
}

func TestEveryEventReadsBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		body, personal := Encode(e, Commit, Salt)
		got, err := Decode(body, personal)
		if err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatal(diff)
		}
		if !json.Valid(body) || len(personal) > 0 && !json.Valid(personal) {
			t.Fatal("not JSON")
		}
		again, _ := Encode(got, Commit, Salt)
		if e.Actor.IP == "" && !bytes.Equal(body, again) {
			t.Fatal("the format is not canonical")
		}
	})
}

// One event is one line, whatever a caller writes into a name or a reason:
// log forging (a line break, a terminal escape, reversed text) must not work.
func TestNothingInAnEventBreaksOrDisguisesItsLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body, personal := Encode(drawEvent(t), Commit, Salt)
		for _, r := range string(body) + string(personal) {
			if disguises(r) {
				t.Fatalf("%U is in the line", r)
			}
		}
	})
}

func TestBytesThatAreNotTextAreReplaced(t *testing.T) {
	e := event(0)
	e.Description, e.Actor.IP = "a\xffb\xc3", "\xfe"
	e.Details = map[string]string{"\xfe": "1", "\xff": "2", "ok": "3"}
	body, personal := Encode(e, Commit, Salt)
	if !utf8.Valid(body) || !utf8.Valid(personal) {
		t.Fatal("not UTF-8")
	}
	got, err := Decode(body, personal)
	if err != nil || got.Description != "a\ufffdb\ufffd" {
		t.Fatalf("%q, %v", got.Description, err)
	}
	if want := map[string]string{"\ufffd": "2", "ok": "3"}; !maps.Equal(got.Details, want) {
		t.Errorf("details %q", got.Details)
	}
	if !(Leaf{Body: body, Personal: personal}).personalFits() {
		t.Error("the commitment is to another value than the one kept")
	}
}

// Personal data is in Personal and nowhere else, so erasing that erases it.
func TestALeafHoldsNoPersonalData(t *testing.T) {
	e := event(2)
	e.Actor.IP = "203.0.113.77"
	body, personal := Encode(e, Commit, Salt)
	if bytes.Contains(body, []byte(e.Actor.IP)) {
		t.Error("the leaf holds the address")
	}
	again, _ := Encode(e, Commit, Salt)
	if bytes.Equal(body, again) {
		t.Error("equal values have equal commitments: they can be guessed")
	}
	got, err := Decode(body, nil)
	if err != nil || got.Actor.IP != "" {
		t.Errorf("erased: %q, %v", got.Actor.IP, err)
	}
	if got, _ := Decode(body, personal); got.Actor.IP != e.Actor.IP {
		t.Errorf("kept: %q", got.Actor.IP)
	}
}

func TestMalformedLeavesAreErrors(t *testing.T) {
	body, _ := Encode(event(1), Commit, Salt)
	swap := func(old, new string) string { return strings.Replace(string(body), old, new, 1) }
	for name, c := range map[string][2]string{
		"empty":           {"", ""},
		"not an object":   {"[]", ""},
		"later version":   {swap(`"v":1`, `"v":2`), ""},
		"no version":      {swap(`"v":1,`, ``), ""},
		"unknown member":  {swap(`"v":1,`, `"v":1,"x":1,`), ""},
		"twice":           {swap(`"v":1,`, `"v":1,"v":1,`), ""},
		"other case":      {swap(`"index"`, `"Index"`), ""},
		"bad id":          {swap(`"id":"01`, `"id":"0g`), ""},
		"bad revision":    {swap(`"revision":"1.2"`, `"revision":"1"`), ""},
		"bad time":        {swap(`Z"`, `"`), ""},
		"trailing":        {string(body) + "{}", ""},
		"bad personal":    {string(body), "{"},
		"foreign members": {string(body), `{"ip":{"salt":"","value":"","x":1}}`},
	} {
		if _, err := Decode([]byte(c[0]), []byte(c[1])); gatehouse.CodeOf(err) != gatehouse.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The scanner is a second reader of the format; the two must agree on what
// Encode writes.
func TestTheScannerReadsWhatDecodeReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		body, personal := Encode(e, Commit, Salt)
		p, ok := scanPrefix(body)
		if !ok || p.index != e.Index || p.revision != e.Revision {
			t.Fatalf("%+v, %v of %s", p, ok, body)
		}
		subject, _ := unquote(p.subject)
		kind, _ := unquote(p.kind)
		result, _ := unquote(p.result)
		if subject != e.Subject || kind != string(e.Kind) || result != string(e.Result) {
			t.Fatalf("%q %q %q of %s", subject, kind, result, body)
		}
		if index, ok := scanIndex(body); !ok || index != e.Index {
			t.Fatalf("index %d, %v", index, ok)
		}
		if fits, known := ipFits(body, personal); known && !fits || !personalFits(body, personal) {
			t.Fatalf("its own commitment does not fit: %s %s", body, personal)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, e := range goldenEvents() {
		body, personal := Encode(e, Commit, fixedSalt)
		f.Add(body, personal)
	}
	f.Add([]byte(`{"v":1,"index":01,"revision":"0.0`), []byte(`{"ip":{"salt":"`))
	f.Fuzz(func(t *testing.T, body, personal []byte) {
		e, err := Decode(body, personal)
		p, ok := scanPrefix(body)
		if err == nil && ok && (p.index != e.Index || p.revision != e.Revision) {
			t.Fatalf("two readers, two events: %+v, %+v", p, e)
		}
		if fits, known := ipFits(body, personal); known && fits != personalFits(body, personal) && err == nil {
			t.Fatalf("the fast way says %v", fits)
		}
		Leaf{Body: body, Personal: personal}.personalFits()
		if err != nil {
			return
		}
		again, open := Encode(e, Commit, fixedSalt)
		if back, err := Decode(again, open); err != nil || !cmp.Equal(e, back) {
			t.Fatalf("%v\n%s", err, cmp.Diff(e, back))
		}
	})
}
