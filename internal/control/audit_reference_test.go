package control_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gatehouse"
)

// The audit page lists exactly the actions that this package and the library can write: whoever
// filters a log by an action, or alarms on one, relies on the list being whole.
func TestTheAuditPageListsEveryAction(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+\\.[a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		if documented[row[1]] {
			t.Errorf("%s is there twice", row[1])
		}
		documented[row[1]] = true
	}
	emitted := emittedActions(t)
	if len(emitted) < 30 {
		t.Fatalf("only %d actions were found in the code: the search is broken", len(emitted))
	}
	for _, a := range slices.Sorted(maps.Keys(emitted)) {
		if !documented[a] {
			t.Errorf("docs/reference/audit.md lacks %s", a)
		}
	}
	for _, a := range slices.Sorted(maps.Keys(documented)) {
		if !emitted[a] {
			t.Errorf("docs/reference/audit.md lists %s, which nothing writes", a)
		}
	}
}

// actionArgument is where the constructors of acts take the action.
var actionArgument = map[string]int{"done": 1, "reading": 0, "listAll": 3, "upstreamFor": 2, "memberAct": 0, "budgetAct": 1, "stock": 3}

// libraryArgument is the same for the library, whose names are its own.
var libraryArgument = map[string]int{"fileAct": 0, "swept": 0}

// kindArgument is where the helpers that compose "KIND.VERB" take the kind.
var kindArgument = map[string]int{"named": 2, "deleted": 2}

// kinds are the records that are written by those helpers.
var kinds = map[string]gatehouse.Kind{
	"KindModel": gatehouse.KindModel, "KindAlias": gatehouse.KindAlias, "KindCluster": gatehouse.KindCluster,
}

// emittedActions reads the package's own source and that of the library. Running every use-case would
// miss the branches that no run takes.
func emittedActions(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../library/*.go")
	if err != nil || len(more) == 0 {
		t.Fatal("the library's source is not where it was", err)
	}
	for _, name := range append(files, more...) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		arguments := actionArgument
		if slices.Contains(more, name) {
			arguments = libraryArgument
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				collectActions(t, f, arguments, found)
			}
		}
	}
	return found
}

func collectActions(t *testing.T, f *ast.FuncDecl, arguments map[string]int, found map[string]bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Action" {
				action(t, f, n.Value, found)
			}
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				if sel, ok := to.(*ast.SelectorExpr); ok && sel.Sel.Name == "Action" {
					action(t, f, n.Rhs[i], found)
				}
			}
		case *ast.CallExpr:
			if at, ok := arguments[calledName(n)]; ok && at < len(n.Args) {
				action(t, f, n.Args[at], found)
			}
			if at, ok := kindArgument[calledName(n)]; ok && at < len(n.Args) {
				composed(t, n.Args[at], calledName(n), found)
			}
		}
		return true
	})
}

// action takes a literal, or a literal prefix with every verb that the function
// names. A parameter is some caller's literal, found there.
func action(t *testing.T, f *ast.FuncDecl, e ast.Expr, found map[string]bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		found[literal(e)] = true
	case *ast.BinaryExpr:
		prefix, ok := e.X.(*ast.BasicLit)
		if !ok {
			return // string(kind) + …: the helpers', whose callers are looked at
		}
		for _, verb := range verbs(f) {
			found[literal(prefix)+verb] = true
		}
	case *ast.Ident:
		if e.Name != "action" {
			t.Errorf("%s: the action comes from %s, where this test does not look", f.Name.Name, e.Name)
		}
	default:
		t.Errorf("%s: the action has a form that this test does not read", f.Name.Name)
	}
}

// verbs are what a function may assign to its variable verb.
func verbs(f *ast.FuncDecl) (out []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		as, ok := n.(*ast.AssignStmt)
		if !ok || len(as.Lhs) != 1 {
			return true
		}
		to, isName := as.Lhs[0].(*ast.Ident)
		value, isText := as.Rhs[0].(*ast.BasicLit)
		if isName && isText && to.Name == "verb" {
			out = append(out, literal(value))
		}
		return true
	})
	return out
}

// composed adds what named and deleted make of a kind.
func composed(t *testing.T, e ast.Expr, helper string, found map[string]bool) {
	kind, ok := e.(*ast.SelectorExpr)
	if !ok || kinds[kind.Sel.Name] == "" {
		t.Errorf("%s is called with a kind that this test does not know", helper)
		return
	}
	verbs := []string{"created", "updated"}
	if helper == "deleted" {
		verbs = []string{"deleted"}
	}
	for _, verb := range verbs {
		found[string(kinds[kind.Sel.Name])+"."+verb] = true
	}
}

func calledName(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func literal(l *ast.BasicLit) string {
	s, err := strconv.Unquote(l.Value)
	if err != nil {
		return l.Value
	}
	return s
}
