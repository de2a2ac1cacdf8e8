// Package archtest holds the arrows between the rooms: who may import whom, as a table (rooms_test.go) and the test
// that compares it with the import statements of every Go file, whatever its build tags.
//
// It reads the files itself, where `go list` would need a process: so go test knows what the result depends on, and
// never answers from its cache after an import has changed.
package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/vendbox/vendbox"

func TestImportsFollowTheArrows(t *testing.T) {
	t.Parallel()

	found, err := imports(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no imports found: is this still the module's internal/archtest?")
	}
	for _, v := range violations(found) {
		t.Error(v)
	}
}

// The table itself must be sound, or the test above proves little.
func TestTable(t *testing.T) {
	t.Parallel()

	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		for _, to := range rooms[room] {
			if _, known := rooms[to]; !known {
				t.Errorf("%s → %s: there is no row for %s", room, to, to)
			}
		}
		if way := wayBack(room, room, nil); way != nil {
			t.Errorf("the table allows a cycle: %s", strings.Join(append([]string{room}, way...), " → "))
		}
	}
}

// Each of these trees is wrong in one way, so that the test is known to be able to fail.
func TestWrongTreesAreRefused(t *testing.T) {
	t.Parallel()

	const ours = module + "/internal/"
	for name, tc := range map[string]struct {
		file, imports string
		want          string
	}{
		"allowed":                     {"internal/ordering/place.go", ours + "inventory", ""},
		"open to all":                 {"internal/sms/send.go", ours + "fault", ""},
		"somebody else's":             {"internal/fault/fault.go", "github.com/jackc/pgx/v5", ""},
		"itself, below":               {"internal/payments/inbox.go", ours + "payments/alipay", ""},
		"a test's helper":             {"internal/ordering/place_test.go", ours + "pgtest", ""},
		"an external test's own room": {"internal/fault/fault_test.go", ours + "fault", ""},
		"another module's":            {"internal/ordering/place.go", module + "x/internal/cli", ""},

		"against the arrow":     {"internal/inventory/stock.go", ours + "ordering", "inventory may not import ordering"},
		"against it, deeper":    {"internal/sms/smpp/bind.go", ours + "httpapi", "sms may not import httpapi"},
		"an edge's edge":        {"internal/console/pages.go", ours + "httpapi/views", "console may not import httpapi"},
		"SQL outside a domain":  {"internal/httpapi/orders.go", ours + "dbq", "httpapi may not import dbq"},
		"a leaf":                {"internal/pgdb/pool.go", ours + "telemetry", "pgdb may not import telemetry"},
		"a leaf's test":         {"internal/fault/fault_test.go", ours + "ordering", "fault may not import ordering"},
		"a helper, in the code": {"internal/ordering/place.go", ours + "pgtest", "ordering may not import pgtest"},
		"past the wiring":       {"cmd/vendbox/main.go", ours + "ordering", "cmd may not import ordering"},
		"the whole module":      {"tests/e2e/e2e_test.go", module, "tests may not import ."},
		"an unknown room":       {"internal/misc/misc.go", "fmt", "misc has no row in the table"},
		"an unknown folder":     {"pkg/misc/misc.go", "fmt", "pkg has no row in the table"},
		"a file at the root":    {"vendbox.go", "fmt", ". has no row in the table"},
		"internal itself":       {"internal/all.go", "fmt", "internal has no row in the table"},
		"an unknown target":     {"internal/cli/cli.go", ours + "misc", "cli may not import misc"},
		"another system's file": {"internal/fault/fault_windows.go", ours + "sms", "fault may not import sms"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			found, err := imports(fstest.MapFS{tc.file: {Data: fmt.Appendf(nil, "package p\n\nimport _ %q\n", tc.imports)}})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if tc.want != "" {
				want = []string{tc.file + ": " + tc.want}
			}
			if got := violations(found); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestOtherModulesAndDataAreLeftAlone(t *testing.T) {
	t.Parallel()

	wrong := &fstest.MapFile{Data: []byte("package p\n\nimport _ \"" + module + "/internal/cli\"\n")}
	found, err := imports(fstest.MapFS{
		"tools/go.mod":                        {},
		"tools/tools.go":                      wrong,
		"internal/fault/testdata/t.go":        wrong,
		"tests/webhook/node_modules/x/x.go":   wrong,
		".cache/x.go":                         wrong,
		"internal/fault/_scratch/scratch.go":  wrong,
		"internal/fault/testdata/deep/x/t.go": wrong,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 0 {
		t.Errorf("read files that are not the module's: %v", found)
	}
}

// imported is one Go file and the import paths it names.
type imported struct {
	file  string // slash-separated, from the module's root
	paths []string
}

// imports reads every Go file of the module at the root of fsys, leaving out nested modules and what the go command
// leaves out.
func imports(fsys fs.FS) ([]imported, error) {
	var all []imported
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return skip(fsys, name)
		case path.Ext(name) != ".go":
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		one := imported{file: name}
		for _, spec := range parsed.Imports {
			unquoted, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			one.paths = append(one.paths, unquoted)
		}
		all = append(all, one)
		return nil
	})
	return all, err
}

func skip(fsys fs.FS, dir string) error {
	base := path.Base(dir)
	if dir == "." {
		return nil
	}
	if base[0] == '.' || base[0] == '_' || base == "testdata" || base == "node_modules" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// violations returns a line for each import that the table does not allow and each file whose room it does not know.
func violations(found []imported) []string {
	var lines []string
	for _, file := range found {
		from := room(path.Dir(file.file))
		if _, known := rooms[from]; !known {
			lines = append(lines, fmt.Sprintf("%s: %s has no row in the table", file.file, from))
			continue
		}
		for _, p := range file.paths {
			dir, ours := strings.CutPrefix(p+"/", module+"/")
			if !ours {
				continue
			}
			if to := room(path.Clean(dir)); !allowed(from, to, strings.HasSuffix(file.file, "_test.go")) {
				lines = append(lines, fmt.Sprintf("%s: %s may not import %s", file.file, from, to))
			}
		}
	}
	return lines
}

// room of a directory given from the module's root: internal/sms/smpp is in sms, tests/e2e in tests.
func room(dir string) string {
	first, rest, _ := strings.Cut(dir, "/")
	if first == "internal" && rest != "" {
		first, _, _ = strings.Cut(rest, "/")
	}
	return first
}

func allowed(from, to string, test bool) bool {
	return from == to ||
		slices.Contains(rooms[from], to) ||
		slices.Contains(anywhere, to) && !slices.Contains(leaves, from) ||
		test && slices.Contains(onlyTests, to) ||
		test && slices.Contains(realRows, to) && !slices.Contains(leaves, from)
}

// wayBack returns a way of the table's arrows from one room to another, nil if there is none. What is open to all counts.
func wayBack(from, to string, been []string) []string {
	arrows := rooms[from]
	if !slices.Contains(leaves, from) {
		arrows = slices.Concat(arrows, anywhere)
	}
	for _, next := range arrows {
		if next == from && slices.Contains(anywhere, next) || slices.Contains(been, next) {
			continue // a room may import itself; a visited room has led nowhere
		}
		if next == to {
			return []string{next}
		}
		been = append(been, next)
		if way := wayBack(next, to, been); way != nil {
			return append([]string{next}, way...)
		}
	}
	return nil
}
