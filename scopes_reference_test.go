package gatehouse_test

import (
	"fmt"
	"os"
	"slices"
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

A personal key, which accepting an invitation or signing in gives, is bounded by its owner's present role as well: it may call what both its ACL and the role open. Every key is refused once its owner was removed from the team, or left at the identity provider.

The route is one spelling; other spellings of the same operation need the same scope. ` + "`%s`" + ` needs no scope: every key may look at itself. Accepting an invitation takes the invitation's token instead of a management key, and signing in takes neither.

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
		if slices.Contains(gatehouse.Unscoped, o.Name) {
			scope = "none"
		}
		fmt.Fprintf(&b, "| %s | %s | `%s %s` | %s |\n", o.Name, scope, o.Method, o.Path, shared)
	}
	rolesPage(&b)
	return b.String()
}

const rolesHead = `
## Roles

A person's role in a team is a set of permissions, and a permission is a set of operations. Whoever gives somebody a role must themselves be open to everything that it opens. What touches all teams belongs to no role.

`

// rolesPage is a table of permissions by role, and the operations of each.
func rolesPage(b *strings.Builder) {
	b.WriteString(rolesHead + "| permission |")
	for _, r := range gatehouse.Roles {
		b.WriteString(" " + string(r) + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(gatehouse.Roles)) + "\n")
	for _, p := range gatehouse.Permissions {
		b.WriteString("| " + p.Name + " |")
		for _, r := range gatehouse.Roles {
			b.WriteString(map[bool]string{true: " yes |", false: " |"}[slices.Contains(p.Roles, r)])
		}
		b.WriteByte('\n')
	}
	b.WriteString("\nxAI's \"Management Keys Read + Write\" is the two permissions of that name. It is a permission of its own: no other opens any of their operations.\n\n| permission | operations |\n|---|---|\n")
	for _, p := range gatehouse.Permissions {
		names := make([]string, len(p.Operations))
		for i, o := range p.Operations {
			names[i] = string(o)
		}
		b.WriteString("| " + p.Name + " | " + strings.Join(names, ", ") + " |\n")
	}
}
