package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The files in the repository are what the River of go.mod brings: an upgrade with a new version fails here.
func TestFilesAreCurrent(t *testing.T) {
	t.Parallel()
	const dir = "../.."
	names, err := fileNames(dir)
	require.NoError(t, err)
	files, err := render(names)
	require.NoError(t, err)
	require.NotEmpty(t, files)

	current := map[string]bool{}
	for _, f := range files {
		current[f.name] = true
		got, err := os.ReadFile(filepath.Join(dir, f.name))
		require.NoError(t, err, "River has a version without migration: run `go generate ./migrations`")
		require.Equal(t, string(f.content), string(got),
			"%s differs from River's: run `go generate ./migrations`, but if the file was released before, "+
				"River changed a version in place: write a new migration with the difference instead", f.name)
	}
	for _, name := range names {
		if riverNamed.MatchString(name) {
			require.True(t, current[name], "%s belongs to no version of this River", name)
		}
	}
}

func TestAssign(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		existing []string
		versions []int
		want     map[int]int
	}{
		"empty directory": {nil, []int{2, 3}, map[int]int{2: 1, 3: 2}},
		"kept": {
			[]string{"000001_river_v2.up.sql", "000001_river_v2.down.sql", "migrations.go"},
			[]int{2},
			map[int]int{2: 1},
		},
		"a new one comes after everything, not into the gap": {
			[]string{"000001_river_v2.up.sql", "000010_products.up.sql", "000014_orders.up.sql"},
			[]int{2, 3, 4},
			map[int]int{2: 1, 3: 15, 4: 16},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, assign(tt.existing, tt.versions))
		})
	}
}
