package llm

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every path that route.go compares with is among those that documents are made
// of: a new route cannot stay out of them.
func TestRoutesAreAllThatClassifyKnows(t *testing.T) {
	var decls []ast.Decl
	for _, name := range []string{"route.go", "files.go"} {
		source, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		decls = append(decls, source.Decls...)
	}
	found := 0
	for _, d := range decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !slices.Contains([]string{"fixed", "media", "modelList", "response", "library", "file"}, f.Name.Name) {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			clause, ok := n.(*ast.CaseClause)
			if !ok {
				return true
			}
			for _, e := range clause.List {
				if b, ok := e.(*ast.BinaryExpr); ok {
					e = b.Y // verb == "cancel"
				}
				if lit, ok := e.(*ast.BasicLit); ok {
					path, _ := strconv.Unquote(lit.Value)
					found++
					if !slices.ContainsFunc(paths, func(p string) bool { return p == path || strings.HasSuffix(p, "/id/"+path) }) {
						t.Errorf("%s: %q is not among paths", f.Name.Name, path)
					}
				}
			}
			return true
		})
	}
	if found < 20 {
		t.Errorf("found only %d", found)
	}
	Routes(func(method string, r Route) {
		if r.Path == "" || method == "" {
			t.Errorf("%s %+v", method, r)
		}
	})
}
