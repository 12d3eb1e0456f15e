package secret

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"gatehouse"
)

// fixed are keys of known secrets, for vectors.
func fixed(t testing.TB) *Keys {
	t.Helper()
	files := make(map[string]generations)
	for i, name := range fileNames() {
		sum := sha256.Sum256([]byte{byte(i)})
		files[name] = generations{sum[:]}
	}
	r, err := newRing(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	k := &Keys{}
	k.ring.Store(r)
	return k
}

func TestSealedValuesOpenInTheirPlaceOnly(t *testing.T) {
	k, other := fixed(t), func() *Keys { k, _ := create(t); return k }()
	rapid.Check(t, func(t *rapid.T) {
		where, plain := rapid.String().Draw(t, "where"), rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		s, err := k.Seal(where, plain)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Open(where, s); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("got %x, %v", got, err)
		}
		again, _ := k.Seal(where, plain)
		if bytes.Equal(s, again) {
			t.Fatal("sealing twice shows that the values are equal")
		}
		if _, err := k.Open(where+"/", s); gatehouse.CodeOf(err) != gatehouse.Internal {
			t.Fatalf("elsewhere: %v", err)
		}
		if _, err := other.Open(where, s); err == nil {
			t.Fatal("another installation opened it")
		}
		bad := bytes.Clone(s)
		bad[rapid.IntRange(0, len(bad)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := k.Open(where, bad); err == nil {
			t.Fatal("a flipped bit went unnoticed")
		}
		if _, err := k.Open(where, s[:rapid.IntRange(0, len(s)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a cut went unnoticed")
		}
	})
}

// The database outlives the program: what a release sealed, every later opens.
func TestFormatOfSealedValuesStays(t *testing.T) {
	k := fixed(t)
	for name, c := range map[string]struct {
		open func([]byte) ([]byte, error)
		hex  string
	}{
		"value": {func(b []byte) ([]byte, error) { return k.Open("api_keys/1/digest", b) }, goldenSealed},
		"page":  {func(b []byte) ([]byte, error) { return k.ring.Load().page.open(b, []byte("keys/1")) }, goldenPage},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.open(b); err != nil || string(got) != "golden" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got := hex.EncodeToString(k.MAC("place", []byte("data"))); got != goldenMAC {
		t.Errorf("MAC %s", got)
	}
	if got := hex.EncodeToString(k.Public()); got != goldenPublic {
		t.Errorf("public key %s", got)
	}
	if got := k.Fingerprints()[masterFile]; got != goldenFingerprint {
		t.Errorf("fingerprint %s", got)
	}
}

// The same vectors are in package audit, which verifies what this one makes.
func TestLeavesAndCommitmentsAreWhatTheVerifierExpects(t *testing.T) {
	k, h := fixed(t), sha256.Sum256([]byte("leaf"))
	msg, _ := hex.DecodeString("67617465686f757365206175646974206c6561660a" + "0000000000000107" + hex.EncodeToString(h[:]))
	if !ed25519.Verify(k.Public(), msg, k.SignLeaf(0x107, h)) {
		t.Error("the signed message changed")
	}
	const want = "e5b12e00ede1e59083ce3e052bb1afc5d13aebe2dd89d4c7de9ccc452f145734"
	if got := hex.EncodeToString(k.Commit([]byte("0123456789abcdef"), "192.0.2.7")); got != want {
		t.Errorf("commitment %s", got)
	}
}

func TestMACTellsThePlaceFromTheData(t *testing.T) {
	k := fixed(t)
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		n := rapid.IntRange(0, len(a)).Draw(t, "border")
		m := k.MAC(a, []byte(b))
		if len(m) != 32 || !bytes.Equal(m, k.MAC(a, []byte(b))) {
			t.Fatal("not a function of 32 bytes")
		}
		if n < len(a) && bytes.Equal(m, k.MAC(a[:n], []byte(a[n:]+b))) {
			t.Fatal("the border moved")
		}
	})
}

func TestMACIsSafeForConcurrentUse(t *testing.T) {
	k := fixed(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			where := fmt.Sprint("row/", i)
			want := k.MAC(where, []byte(where))
			for range 200 {
				if !bytes.Equal(k.MAC(where, []byte(where)), want) {
					t.Error("a state was shared")
				}
			}
		})
	}
	wg.Wait()
}

func TestPageTokensAreGoodForTheirListOnly(t *testing.T) {
	k := fixed(t)
	token, err := k.SealPage("keys/team-1", []byte("cursor"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.OpenPage("keys/team-1", token); err != nil || string(got) != "cursor" {
		t.Fatalf("%q, %v", got, err)
	}
	flipped := []byte(token)
	flipped[len(flipped)-1] ^= 1
	for name, c := range map[string][2]string{
		"another list": {"keys/team-2", token}, "cut": {"keys/team-1", token[:len(token)-4]},
		"flipped": {"keys/team-1", string(flipped)}, "padded": {"keys/team-1", token + "="},
		"empty": {"keys/team-1", ""}, "words": {"keys/team-1", "next page!"},
	} {
		if _, err := k.OpenPage(c[0], c[1]); gatehouse.CodeOf(err) != gatehouse.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A value sealed for the database is no page token, whatever its place.
	s, _ := k.Seal("keys/team-1", []byte("x"))
	if _, err := k.ring.Load().page.open(s, []byte("keys/team-1")); err == nil {
		t.Error("one key for two purposes")
	}
}

func TestAKeptReplyOpensForItsCallerOnly(t *testing.T) {
	k, other := fixed(t), func() *Keys { k, _ := create(t); return k }()
	mine := gatehouse.MintToken("gth", gatehouse.Management, gatehouse.NewID())
	rotated := gatehouse.MintToken("gth", gatehouse.Management, mine.ID())
	s, err := k.SealUnder(mine, "idem-1", []byte("the reply"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.OpenUnder(mine, "idem-1", s); err != nil || string(got) != "the reply" {
		t.Fatalf("%q, %v", got, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another token of the key":  func() ([]byte, error) { return k.OpenUnder(rotated, "idem-1", s) },
		"another idempotency key":   func() ([]byte, error) { return k.OpenUnder(mine, "idem-2", s) },
		"another installation":      func() ([]byte, error) { return other.OpenUnder(mine, "idem-1", s) },
		"no token":                  func() ([]byte, error) { return k.OpenUnder(gatehouse.Token{}, "idem-1", s) },
		"the installation's secret": func() ([]byte, error) { return k.Open("idem-1", s) },
		"a cut reply":               func() ([]byte, error) { return k.OpenUnder(mine, "idem-1", s[:len(s)-1]) },
	} {
		if b, err := open(); err == nil {
			t.Errorf("%s opened %q", name, b)
		}
	}
	if _, err := k.SealUnder(gatehouse.Token{}, "idem-1", nil); gatehouse.CodeOf(err) != gatehouse.Unauthenticated {
		t.Errorf("sealed under no token: %v", err)
	}
}

func TestASignatureIsGoodForOneKindOfThing(t *testing.T) {
	k := fixed(t)
	msg := []byte("batch 1")
	sig := k.SignBatch(msg)
	if !VerifyBatch(k.Public(), msg, sig) {
		t.Fatal("a good signature was refused")
	}
	if VerifyBatch(k.Public(), []byte("batch 2"), sig) || VerifyBatch(k.Public(), msg, sig[1:]) || VerifyBatch(nil, msg, sig) {
		t.Error("a bad one was taken")
	}
	if VerifyBatch(k.Public(), msg, ed25519.Sign(k.ring.Load().signing[0], msg)) {
		t.Error("a signature without its domain was taken")
	}
	var h [32]byte
	if VerifyBatch(k.Public(), append(make([]byte, 8), h[:]...), k.SignLeaf(0, h)) {
		t.Error("a leaf's signature was taken for a batch")
	}
}

func TestCheckpointsVerifyWithTheVerifierKey(t *testing.T) {
	k := fixed(t)
	s, err := k.NoteSigner("gatehouse.example")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := note.Sign(&note.Note{Text: "hello\n"}, s)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := k.VerifierKey("gatehouse.example")
	v, err := note.NewVerifier(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(msg, note.VerifierList(v)); err != nil {
		t.Error(err)
	}
	if _, err := k.NoteSigner("two words"); err == nil {
		t.Error("a name with a space was taken")
	}
}

func TestSecretsCannotBePrinted(t *testing.T) {
	k := fixed(t)
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%T %[1]v"} {
		fmt.Fprintf(&out, verb+"\n", k)
	}
	fmt.Fprintln(&out, k, []any{k}, map[string]any{"k": k}, fmt.Errorf("with %v", k))
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "keys", k, "group", slog.GroupValue(slog.Any("k", k)))
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "keys", k)
	b, err := json.Marshal(map[string]any{"keys": k})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	seed := k.ring.Load().signing[0].Seed()
	for _, secret := range []string{string(seed), hex.EncodeToString(seed[:6]), fmt.Sprint(seed[:6])[1:12], string(k.ring.Load().replay[0]), hex.EncodeToString(k.ring.Load().replay[0][:6])} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("printed a secret: %s", out.String())
		}
	}
	if n := strings.Count(out.String(), redacted); n < 14 {
		t.Errorf("%d redactions in %s", n, out.String())
	}
}

func BenchmarkMAC(b *testing.B) {
	k, data := fixed(b), make([]byte, 400)
	b.ReportAllocs()
	for b.Loop() {
		k.MAC("api_keys/0192d3e4-0000-7000-8000-000000000000", data)
	}
}

func BenchmarkOpen(b *testing.B) {
	k := fixed(b)
	s, _ := k.Seal("w", make([]byte, 32))
	b.ReportAllocs()
	for b.Loop() {
		k.Open("w", s)
	}
}

func BenchmarkSignLeaf(b *testing.B) {
	k := fixed(b)
	for b.Loop() {
		k.SignLeaf(7, [32]byte{})
	}
}
