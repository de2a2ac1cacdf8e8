//go:build unix

package devpg

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeMachine has the versions by directory; a directory without one cannot be used.
func fakeMachine(versions map[string]Version, dirs ...string) lookup {
	return lookup{
		dirs: func() []string { return dirs },
		version: func(_ context.Context, dir string) (Version, error) {
			if v, ok := versions[dir]; ok {
				return v, nil
			}
			return Version{}, errors.New("permission denied")
		},
		download: func(context.Context) (string, error) { return "", errors.New("no network") },
	}
}

func TestFindBinariesTakesTheNewestByNumber(t *testing.T) {
	t.Parallel()
	versions := map[string]Version{"/a": {9, 6}, "/b": {100, 1}, "/c": {15, 13}, "/d": {15, 2}, "/e": {99, 9}}
	m := fakeMachine(versions, "/a", "/unusable", "/e", "/b", "/c", "/d")

	got, err := findBinaries(t.Context(), m, 0)
	require.NoError(t, err)
	require.Equal(t, binaries{dir: "/b", version: Version{100, 1}}, got)

	got, err = findBinaries(t.Context(), m, 15)
	require.NoError(t, err)
	require.Equal(t, "/c", got.dir, "a data directory needs its own major version")
}

func TestFindBinariesSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]lookup{
		"nothing there": fakeMachine(nil),
		"too old":       fakeMachine(map[string]Version{"/a": {13, 20}}, "/a"),
		"unusable":      fakeMachine(nil, "/a"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := findBinaries(t.Context(), m, 0)
			require.ErrorContains(t, err, "no Postgres server binaries (version 14 or newer)")
			require.ErrorContains(t, err, "no network")
			require.ErrorContains(t, err, "apt-get install postgresql ")
			require.ErrorContains(t, err, "brew install postgresql ")
		})
	}
	_, err := findBinaries(t.Context(), fakeMachine(map[string]Version{"/a": {17, 1}}, "/a"), 16)
	require.ErrorContains(t, err, "Postgres 16, which made this data directory")
	require.ErrorContains(t, err, "apt-get install postgresql-16")
}

func TestFindBinariesDownloadsOnlyWhenNothingIsThere(t *testing.T) {
	t.Parallel()
	m := fakeMachine(map[string]Version{"/downloaded": {18, 3}})
	m.download = func(context.Context) (string, error) { return "/downloaded", nil }
	got, err := findBinaries(t.Context(), m, 0)
	require.NoError(t, err)
	require.Equal(t, "/downloaded", got.dir)
	_, err = findBinaries(t.Context(), m, 16)
	require.ErrorContains(t, err, "the downloaded version is another one")
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]Version{
		"postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n": {15, 13},
		"postgres (PostgreSQL) 19beta1\n":                        {19, 0},
		"postgres (PostgreSQL) 9.6.24\n":                         {9, 6},
	} {
		got, err := parseVersion(out)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := parseVersion("bash: postgres: command not found")
	require.Error(t, err)
}
