package httpapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every code that a fault is made with anywhere in the module has its words, and the catalogue has no others.
func TestCatalogueIsComplete(t *testing.T) {
	t.Parallel()
	used := faultCodes(t, "../..")
	require.Contains(t, used, "failed_job_closed", "the search finds codes")
	for _, code := range slices.Sorted(maps.Keys(used)) {
		if _, ok := catalogue()[code]; !ok {
			t.Errorf("catalogue.json lacks %s, which %s makes", code, used[code])
		}
	}
	for code := range catalogue() {
		if _, ok := used[code]; !ok {
			t.Errorf("catalogue.json has %s, which nothing makes any more", code)
		}
	}
}

// Both languages are there, are text, and name the same facts.
func TestCatalogueIsSound(t *testing.T) {
	t.Parallel()
	place := regexp.MustCompile(`\{([a-z_]+)\}`)
	han := regexp.MustCompile(`\p{Han}`)
	for code, e := range catalogue() {
		require.Regexp(t, `^[a-z][a-z0-9_]*$`, code)
		for _, w := range []words{e.EN, e.ZH} {
			require.NotEmpty(t, w.Title, code)
			require.NotEmpty(t, w.Detail, code)
			require.NotRegexp(t, `[.。]$`, w.Title, "%s: a title is no sentence", code)
			require.Regexp(t, `[.。}]$`, w.Detail, "%s: a detail is a sentence", code)
		}
		require.Regexp(t, han, e.ZH.Title+e.ZH.Detail, code)
		require.NotRegexp(t, han, e.EN.Title+e.EN.Detail, code)
		require.ElementsMatch(t, place.FindAllString(e.EN.Detail, -1), place.FindAllString(e.ZH.Detail, -1), code)
	}
}

// faultCodes gives the codes of the module's Go files, each with where it is made: the literals in fault.New(kind, code),
// fault.Wrap(cause, kind, code), and constants whose names begin with "code".
func faultCodes(t *testing.T, root string) map[string]string {
	t.Helper()
	used := map[string]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := path.Base(name)
			if name != "." && (base[0] == '.' || base == "node_modules" || base == "testdata" || base == "tools") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files := token.NewFileSet()
		src, err := fs.ReadFile(os.DirFS(root), name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(files, name, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for code, pos := range codesIn(file) {
			used[code] = files.Position(pos).String()
		}
		return nil
	})
	require.NoError(t, err)
	return used
}

func codesIn(file *ast.File) map[string]token.Pos {
	codes := map[string]token.Pos{}
	note := func(e ast.Expr) {
		if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if code, err := strconv.Unquote(literal.Value); err == nil {
				codes[code] = literal.Pos()
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if at := codeArgument(n); at > 0 && len(n.Args) > at {
				note(n.Args[at])
			}
		case *ast.CompositeLit: // fault.Error{Code: "…"}
			if isFault(n.Type, "Error") {
				for _, element := range n.Elts {
					if pair, ok := element.(*ast.KeyValueExpr); ok && isNamed(pair.Key, "Code") {
						note(pair.Value)
					}
				}
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if rest, ok := strings.CutPrefix(name.Name, "code"); ok && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z' && i < len(n.Values) {
					note(n.Values[i])
				}
			}
		}
		return true
	})
	return codes
}

func codeArgument(call *ast.CallExpr) int {
	switch {
	case isFault(call.Fun, "New"):
		return 1
	case isFault(call.Fun, "Wrap"):
		return 2
	}
	return 0
}

func isFault(e ast.Expr, name string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	return ok && isNamed(selector.X, "fault") && selector.Sel.Name == name
}

func isNamed(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// Every message that huma can make has its Chinese.
func TestValidationTexts(t *testing.T) {
	t.Parallel()
	for english, want := range map[string]string{
		"expected number >= 1":                                                 "应不小于 1",
		"expected length <= 5":                                                 "长度应不大于 5",
		"unexpected property":                                                  "未知字段",
		"expected required property count to be present":                       "缺少必填字段 count",
		"expected value to be one of \"a, b\"":                                 "应为以下之一：a, b",
		"expected string to match pattern ^[a-z]$":                             "应匹配 ^[a-z]$",
		"expected property a to be present when b is present":                  "缺少字段 a，它须与 b 一起出现",
		"expected string to be RFC 5322 email: mail: no angle-addr in secret@": "应为电子邮件地址",
		"expected string to be RFC 4122 uuid: invalid UUID length: secret":     "应为 UUID",
		"expected string to be RFC 3986 uri: parse \"secret\": invalid URI":    "应为 URI",
		"something that only a later huma says":                                "something that only a later huma says",
	} {
		require.Equal(t, want, validationText(Chinese, english))
		require.NotContains(t, validationText(English, english), "secret")
	}
	for _, english := range slices.Collect(maps.Keys(validationChinese)) {
		require.NotRegexp(t, `^$`, validationText(English, english))
	}
}
