package town

import (
	"testing"

	"gatehouse"
)

// The search that ends every test of a town finds a secret wherever it stands.
func TestASecretIsFound(t *testing.T) {
	token := gatehouse.MintToken(gatehouse.DefaultBrand, gatehouse.Management, gatehouse.NewID()).Reveal()
	for text, want := range map[string]string{
		`{"msg":"gth gthm_ ` + token + `"}`: "the token gthm_…",
		token:                               "the token gthm_…",
		token[:len(token)-1]:                "",
		"x" + token[:len(token)-1] + "!":    "",
		"key sk-1234, gth":                  "the provider's credential",
		"gthk_…abcd":                        "",
	} {
		if got := secretIn([]byte(text), "sk-1234"); got != want {
			t.Errorf("%.20s…: %q, want %q", text, got, want)
		}
	}
}
