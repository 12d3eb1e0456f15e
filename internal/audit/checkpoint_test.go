package audit

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"gatehouse"
)

func TestACheckpointReadsBack(t *testing.T) {
	in := newInstallation(t, 1)
	v, pub, err := parseVerifierKey(in.vkey + "\n")
	if err != nil || !bytes.Equal(pub, in.key.Public().(ed25519.PublicKey)) {
		t.Fatalf("%x, %v", pub, err)
	}
	root := [32]byte{1, 2, 3}
	msg, err := Checkpoint(origin, 42, root, in.signer)
	if err != nil {
		t.Fatal(err)
	}
	want := origin + "\n42\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— " + origin + " "
	if !strings.HasPrefix(string(msg), want) {
		t.Errorf("not a C2SP checkpoint: %s", msg)
	}
	got, err := ParseCheckpoint(msg, v)
	if err != nil || got != (Head{origin, 42, root}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestVerifierKeysOfAnySpellingOfBase64(t *testing.T) {
	// The key's own text can hold a plus, which is also the separator.
	for seed := range byte(80) {
		in := newInstallation(t, seed)
		if _, pub, err := parseVerifierKey(in.vkey); err != nil || !bytes.Equal(pub, in.key.Public().(ed25519.PublicKey)) {
			t.Errorf("%s: %v", in.vkey, err)
		}
	}
}

func TestABadCheckpointIsRefused(t *testing.T) {
	in, other := newInstallation(t, 1), newInstallation(t, 2)
	v, _, _ := parseVerifierKey(in.vkey)
	sign := func(text string) string {
		b, err := note.Sign(&note.Note{Text: text}, in.signer)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	const root = "AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	foreign, _ := Checkpoint(origin, 42, [32]byte{}, other.signer)
	good := sign(origin + "\n42\n" + root)
	for name, msg := range map[string]string{
		"empty": "", "unsigned": origin + "\n42\n" + root, "another installation's": string(foreign),
		"edited": strings.Replace(good, "\n42\n", "\n41\n", 1), "cut": good[:len(good)-8],
		"no root": sign(origin + "\n42\n"), "short root": sign(origin + "\n42\nAQID\n"),
		"negative": sign(origin + "\n-1\n" + root), "leading zero": sign(origin + "\n042\n" + root),
		"huge": sign(origin + "\n99999999999999999999\n" + root), "no origin": sign("\n42\n" + root),
		"signed as something else": sign("gatehouse audit leaf\n42\n" + root),
	} {
		if _, err := ParseCheckpoint([]byte(msg), v); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseCheckpoint([]byte(sign(origin+"\n42\n"+root+"an extension\n")), v); err != nil {
		t.Errorf("extension lines are allowed: %v", err)
	}
	for _, bad := range []string{"", "two words", "a+b", "a\nb"} {
		if _, err := Checkpoint(bad, 1, [32]byte{}, in.signer); err == nil {
			t.Errorf("origin %q was taken", bad)
		}
	}
	for _, key := range []string{"", "x", "a+b+c", in.vkey + "x"} {
		if _, _, err := parseVerifierKey(key); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
			t.Errorf("verifier key %q: %v", key, err)
		}
	}
}
