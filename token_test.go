package gatehouse

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMintedTokensParseAndCarryTheirKeysID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := NewID()
		if rapid.Bool().Draw(t, "extreme") {
			for i := range id {
				id[i] = rapid.SampledFrom([]byte{0, 0xff}).Draw(t, "byte")
			}
		}
		plane := rapid.SampledFrom([]Plane{Inference, Management}).Draw(t, "plane")
		tok := MintToken(DefaultBrand, plane, id)
		got, err := ParseToken(DefaultBrand, tok.Reveal())
		if err != nil || got.ID() != id || got.Plane() != plane || !got.Digest().Equal(tok.Digest()) {
			t.Fatalf("round trip of %v: %v, %v", id, got.ID(), err)
		}
		if len(tok.Reveal()) != 76 {
			t.Fatalf("a token has %d characters, want 76", len(tok.Reveal()))
		}
	})
}

// A typing error must be caught before any look-up: every single-character
// change, transposition and truncation.
func TestDamagedTokensAreRefusedOffline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := MintToken(DefaultBrand, Inference, NewID()).Reveal()
		i := rapid.IntRange(0, len(s)-2).Draw(t, "at")
		damaged := s
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0:
			c := alphabet[rapid.IntRange(0, 61).Draw(t, "char")]
			damaged = s[:i] + string(c) + s[i+1:]
		case 1:
			damaged = s[:i] + s[i+1:i+2] + s[i:i+1] + s[i+2:]
		case 2:
			damaged = s[:i]
		}
		if _, err := ParseToken(DefaultBrand, damaged); (err == nil) != (damaged == s) {
			t.Fatalf("damage at %d: err = %v", i, err)
		}
	})
}

func TestTokensCannotBePrinted(t *testing.T) {
	tok := MintToken(DefaultBrand, Management, NewID())
	secret := tok.Reveal()
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "token", tok)
	asJSON, _ := json.Marshal(map[string]any{"t": tok, "p": &tok})
	for _, s := range []string{
		fmt.Sprint(tok), fmt.Sprintf("%v %+v %#v %s %q %x", tok, tok, tok, tok, tok, tok),
		fmt.Sprintf("%v %+v", &tok, struct{ T Token }{tok}), logged.String(), string(asJSON),
	} {
		if strings.Contains(s, secret[30:]) || strings.Contains(s, fmt.Sprintf("%x", secret[30:50])) {
			t.Errorf("a secret got out: %s", s)
		}
	}
}

func TestParseErrorsNeverQuoteTheInput(t *testing.T) {
	for _, s := range []string{"", "gthk_", "sk-verysecretvalue", strings.Repeat("Z", 76), "gthk_" + strings.Repeat("!", 71)} {
		_, err := ParseToken(DefaultBrand, s)
		if CodeOf(err) != Unauthenticated || len(s) > 4 && strings.Contains(err.Error(), s[4:]) {
			t.Errorf("ParseToken(%q) = %v", s, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(MintToken(DefaultBrand, Inference, ID{}).Reveal())
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := ParseToken(DefaultBrand, s)
		if err == nil && tok.Reveal() != s {
			t.Fatal("a parsed token is not its text")
		}
	})
}

func TestBrandsThatScannersWouldMistakeAreRefused(t *testing.T) {
	for s, want := range map[string]bool{"gth": true, "acme": true, "xai-": false, "": false, "GTH": false, "averyveryverylong": false} {
		if ValidBrand(s) != want {
			t.Errorf("ValidBrand(%q) = %v", s, !want)
		}
	}
}
