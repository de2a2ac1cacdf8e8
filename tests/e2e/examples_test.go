package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each of examples/ is run as its page says, and tells a subscriber of what it did. Its first run must make the webhook
// arrive; its second, of the same invoice, must fail and emit nothing.
//
//nolint:tparallel // one after the other: each makes the table if it is the first, which two at once cannot
func TestExamples(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.serve(t)
	s.subscribe(t, "invoice.sent")
	for _, example := range []struct {
		name    string
		prepare func(t *testing.T) (dir, program string)
		args    []string
	}{
		{"emit-psql", preparePsql, strings.Fields("-X -q -A -t -v number=emit-psql -v total=5000 -f emit.sql -d " + s.databaseURL)},
		{"emit-go", prepareGo, []string{"emit-go", "5000"}},
		{"emit-node", prepareNode, []string{"emit.mjs", "emit-node", "5000"}},
	} {
		t.Run(example.name, func(t *testing.T) {
			dir, program := example.prepare(t)
			run := func() result {
				return runIn(t, dir, []string{"DATABASE_URL=" + s.databaseURL}, program, example.args...)
			}
			id := strings.TrimSpace(succeed(t, run()))
			require.Equal(t, map[string]any{"number": example.name, "total": 5000.}, s.awaitEvent(t, id))
			require.Equal(t, 1, s.count(t, "select count(*) from public.invoices where number = $1 and total = 5000", example.name))

			again := run()
			require.NotZero(t, again.code)
			require.Contains(t, again.stderr, "invoices_pkey")
			require.Equal(t, 1, s.count(t, "select count(*) from vendbox.outbox where aggregateid = $1", example.name))
		})
	}
}

func exampleDir(name string) string { return filepath.Join(repository(), "examples", name) }

func preparePsql(t *testing.T) (dir, program string) {
	t.Helper()
	return exampleDir("emit-psql"), installed(t, "psql")
}

func prepareGo(t *testing.T) (dir, program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "emit-go")
	succeed(t, runIn(t, exampleDir("emit-go"), os.Environ(), installed(t, "go"), "build", "-o", program, "."))
	return t.TempDir(), program
}

// prepareNode installs the example's modules in a copy, which leaves the checkout as it was.
func prepareNode(t *testing.T) (dir, program string) {
	t.Helper()
	program = installed(t, "node")
	npm := installed(t, "npm")
	dir = t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(exampleDir("emit-node"))))
	succeed(t, runIn(t, dir, os.Environ(), npm, "ci", "--no-audit", "--no-fund", "--prefer-offline"))
	return dir, program
}
