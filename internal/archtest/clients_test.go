package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// ownClients may make a client of their own: outbound, which is where the others get theirs, and the demo's buyers, who ask
// our server and nobody else's.
var ownClients = []string{"outbound", "demo"}

func TestServersOfOthersAreCalledThroughOutbound(t *testing.T) {
	t.Parallel()
	if literals := clientLiterals(t, os.DirFS("../..")); len(literals) > 0 {
		t.Errorf("an http.Client of their own, where outbound.Client is due: %v", literals)
	}
	wrong := &fstest.MapFile{Data: []byte("package p\n\nvar c = &http.Client{}\n")}
	tree := fstest.MapFS{"internal/sms/a.go": wrong, "internal/sms/a_test.go": wrong, "internal/outbound/a.go": wrong}
	if got := clientLiterals(t, tree); !slices.Equal(got, []string{"internal/sms/a.go"}) {
		t.Errorf("got %v", got)
	}
}

// clientLiterals are the files, but for tests, that have an http.Client{…} and may not.
func clientLiterals(t *testing.T, fsys fs.FS) (files []string) {
	t.Helper()
	found, err := imports(fsys)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if strings.HasSuffix(f.file, "_test.go") || slices.Contains(ownClients, room(path.Dir(f.file))) {
			continue
		}
		src, err := fs.ReadFile(fsys, f.file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.file, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if makesClient(parsed) {
			files = append(files, f.file)
		}
	}
	return files
}

func makesClient(file *ast.File) (found bool) {
	ast.Inspect(file, func(node ast.Node) bool {
		literal, ok := node.(*ast.CompositeLit)
		if !ok {
			return true
		}
		if of, ok := literal.Type.(*ast.SelectorExpr); ok && of.Sel.Name == "Client" {
			name, ok := of.X.(*ast.Ident)
			found = found || ok && name.Name == "http"
		}
		return true
	})
	return found
}
