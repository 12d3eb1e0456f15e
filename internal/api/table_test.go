package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"gatehouse"
)

// A code without an answer would be a 0 on the wire: every code that the root
// package names has a row.
func TestEveryCodeHasAnAnswer(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Code" {
			text, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if answers[gatehouse.Code(text)].status == 0 {
				t.Errorf("%s has no answer", text)
			}
			found++
		}
		return true
	})
	if found < 13 {
		t.Errorf("found only %d codes", found)
	}
}
