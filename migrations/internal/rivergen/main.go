// Command rivergen writes River's own migrations as golang-migrate files, one per River version, into the current
// directory. Run it with `go generate ./migrations` after an upgrade of River.
//
// One file per version, because joined they fail: a version uses an enum value that an earlier one adds, which Postgres
// refuses within one transaction. River's version 1 is left out: it makes river_migration, River's own record of
// versions, and here golang-migrate keeps the versions. River's version 5, which rebuilds that table, tolerates its
// absence.
//
// A version that has files keeps their number for ever. A new version gets the first number after every file in the
// directory, not the first gap: golang-migrate never goes back to a number below the one a database has reached.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "rivergen:", err)
		os.Exit(1)
	}
}

// run writes the files of every River version into dir.
func run(dir string) error {
	names, err := fileNames(dir)
	if err != nil {
		return err
	}
	files, err := render(names)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.WriteFile(dir+string(os.PathSeparator)+f.name, f.content, 0o644); err != nil { //nolint:gosec // source
			return err
		}
	}
	return nil
}

func fileNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}
