package assertion

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

var (
	now     = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	key     = []byte("0123456789abcdef0123456789abcdef")
	gateway = gatehouse.ID{1}
	whole   = Assertion{
		Gateway: gateway, Team: gatehouse.ID{2}, Key: gatehouse.ID{3}, RequestID: "r-1", IP: "192.0.2.1", Base: "https://g.example.com",
		Limit: 1 << 20, Method: "POST", Target: "/v1/files?x=<y>&z=\"", Expire: now.Add(Life),
	}
)

func keys(id gatehouse.ID) ([]byte, error) {
	if id != gateway {
		return nil, gatehouse.Errorf(gatehouse.Unauthenticated, "no such gateway")
	}
	return key, nil
}

func refused(t *testing.T, what, text string) {
	t.Helper()
	if a, err := Open(text, now, keys); !errors.Is(err, gatehouse.Unauthenticated) {
		t.Errorf("%s: believed as %+v, %v", what, a, err)
	}
}

func TestWhatIsSignedIsReadAgain(t *testing.T) {
	public := Assertion{Gateway: gateway, Public: true, Method: "GET", Target: "/v1/files/public/x", Expire: now.Add(time.Second)}
	for _, want := range []Assertion{whole, public} {
		if got, err := Open(Sign(key, want), now, keys); err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// Neither a bit nor a spelling of it may be other than what was signed.
func TestNoOtherBytesAreBelieved(t *testing.T) {
	text := Sign(key, whole)
	for i := range len(text) {
		for _, b := range []byte{text[i] ^ 1, 'A', '.', '\n', 0x80} {
			if b != text[i] {
				refused(t, "changed", text[:i]+string([]byte{b})+text[i+1:])
			}
		}
		refused(t, "cut", text[:i])
		refused(t, "with a line end in it", text[:i]+"\n"+text[i:])
	}
	for _, more := range []string{"=", ".", " ", "A"} {
		refused(t, "longer", text+more)
	}
	refused(t, "by another key", Sign([]byte("another"), whole))
	other := whole
	other.Gateway = gatehouse.ID{9}
	refused(t, "of another gateway", Sign(key, other))
}

// A gateway's own signature does not make a second spelling right: what checks
// and what acts could then read it differently.
func TestASignatureDoesNotMakeAnotherSpelling(t *testing.T) {
	parts := strings.Split(Sign(key, whole), ".")
	raw, _ := base64.RawURLEncoding.DecodeString(parts[2])
	for what, text := range map[string]string{
		"a space":          " " + string(raw),
		"another member":   strings.Replace(string(raw), "{", `{"more":1,`, 1),
		"a member twice":   strings.Replace(string(raw), "{", `{"team":"`+gatehouse.ID{8}.String()+`",`, 1),
		"in another case":  strings.Replace(string(raw), `"team"`, `"Team"`, 1),
		"a prefixed id":    strings.Replace(string(raw), `"team":"`, `"team":"key_`, 1),
		"a member missing": strings.Replace(string(raw), `,"public":false`, "", 1),
		"no JSON":          "x",
	} {
		signed := version + "." + gateway.String() + "." + base64.RawURLEncoding.EncodeToString([]byte(text))
		refused(t, what, signed+"."+mac(key, signed))
	}
}

func TestAnAssertionLivesAMinute(t *testing.T) {
	for after, ok := range map[time.Duration]bool{
		0: false, time.Millisecond: true, Life: true, Life + Skew: true, Life + Skew + time.Millisecond: false, -time.Second: false,
	} {
		a := whole
		a.Expire = now.Add(after)
		if _, err := Open(Sign(key, a), now, keys); (err == nil) != ok {
			t.Errorf("expires after %v: %v", after, err)
		}
	}
}

func TestWhatContradictsItselfIsRefused(t *testing.T) {
	for what, change := range map[string]func(*Assertion){
		"public with a key":  func(a *Assertion) { a.Public = true },
		"no team":            func(a *Assertion) { a.Team = gatehouse.ID{} },
		"no key":             func(a *Assertion) { a.Key = gatehouse.ID{} },
		"a limit below none": func(a *Assertion) { a.Limit = -1 },
	} {
		a := whole
		change(&a)
		refused(t, what, Sign(key, a))
	}
	none := func(gatehouse.ID) ([]byte, error) { return nil, nil }
	if _, err := Open(Sign(nil, whole), now, none); err == nil {
		t.Error("believed by no key")
	}
	away := func(gatehouse.ID) ([]byte, error) { return nil, gatehouse.Errorf(gatehouse.Unavailable, "away") }
	if _, err := Open(Sign(key, whole), now, away); !errors.Is(err, gatehouse.Unavailable) {
		t.Error("what nobody can tell was told:", err)
	}
}

func TestAnAssertionIsOfOneRequest(t *testing.T) {
	if err := whole.For(whole.Method, whole.Target); err != nil {
		t.Error(err)
	}
	for _, r := range [][2]string{{"PUT", whole.Target}, {"POST", "/v1/files"}, {"POST", whole.Target + "&a=b"}} {
		if whole.For(r[0], r[1]) == nil {
			t.Error(r)
		}
	}
}

// Whatever is believed is exactly what the key signed.
func FuzzOpen(f *testing.F) {
	f.Add(Sign(key, whole))
	f.Add("v1." + gateway.String() + "..")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Open(text, now, keys)
		if err == nil && Sign(key, a) != text {
			t.Fatalf("%q is believed as %+v", text, a)
		}
		signed := version + "." + gateway.String() + "." + base64.RawURLEncoding.EncodeToString([]byte(text))
		signed += "." + mac(key, signed)
		if a, err := Open(signed, now, keys); err == nil && Sign(key, a) != signed {
			t.Fatalf("payload %q is believed as %+v", text, a)
		}
	})
}
