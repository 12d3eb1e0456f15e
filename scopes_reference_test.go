package gatehouse_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"gatehouse"
)

// The scopes' page is written from the list that authorisation reads, so that
// nobody grants a scope from a page that has fallen behind. UPDATE_GOLDEN=1
// writes it anew.
func TestTheScopesPageIsTheListOfOperations(t *testing.T) {
	const page = "docs/reference/scopes.md"
	want := scopesPage()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s differs from gatehouse.Operations: run UPDATE_GOLDEN=1 go test -run %s .", page, t.Name())
	}
}

const scopesHead = `# Scopes of management keys

This page is generated from ` + "`gatehouse.Operations`" + ` in ` + "`role.go`" + `; a test fails when the two differ.

A management key may call an operation when one of its ACL entries is the operation's scope below, or %s, which opens every operation. There are no other patterns. A call without the scope is answered with 403, and the message names the scope that was missing, whatever id the call was about.

A management key has one of two reaches. A key of scope ` + "`%s`" + ` sees its own team and nothing else. A key of scope ` + "`%s`" + ` sees every team. Operations marked "yes" in the last column touch what all teams share, and are refused to a team's key even when its ACL opens them.

A key can only make keys that fit within itself: scope, ACL, grant, expiry and IP ranges.

The route is one spelling; other spellings of the same operation need the same scope. ` + "`%s`" + ` needs no scope: every key may look at itself.

| operation | scope | route | needs a key of the organisation |
|---|---|---|---|
`

func scopesPage() string {
	var b strings.Builder
	fmt.Fprintf(&b, scopesHead, "`"+gatehouse.ScopeFor("*")+"`", gatehouse.ScopeTeam, gatehouse.ScopeOrganization, gatehouse.ValidateManagementKey)
	for _, o := range gatehouse.Operations {
		scope, shared := "`"+gatehouse.ScopeFor(o.Name)+"`", "no"
		if o.Organization {
			shared = "yes"
		}
		if o.Name == gatehouse.ValidateManagementKey {
			scope = "none"
		}
		fmt.Fprintf(&b, "| %s | %s | `%s %s` | %s |\n", o.Name, scope, o.Method, o.Path, shared)
	}
	return b.String()
}
