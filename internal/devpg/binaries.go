//go:build unix

package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// oldestMajor is the oldest server that vendbox supports.
const oldestMajor = 14

// binaries is a directory with postgres and initdb in it.
type binaries struct {
	dir     string
	version Version
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// lookup is what findBinaries asks of the machine; tests put their own in.
type lookup struct {
	// dirs lists directories that may hold server binaries.
	dirs func() []string
	// version asks the binaries in a directory for their version; an error means that they cannot be used.
	version func(ctx context.Context, dir string) (Version, error)
	// download fetches binaries and returns their directory.
	download func(ctx context.Context) (string, error)
}

func machine(who *account) lookup {
	return lookup{
		dirs:     installedDirs,
		version:  func(ctx context.Context, dir string) (Version, error) { return askVersion(ctx, dir, who) },
		download: func(ctx context.Context) (string, error) { return download(ctx, who) },
	}
}

// findBinaries picks the newest usable binaries, by number and not by name ("9" < "15" < "100"). A major other than 0
// asks for exactly that one, because a cluster is only readable by the major version that made it.
func findBinaries(ctx context.Context, m lookup, major int) (binaries, error) {
	var best binaries
	consider := func(dir string) {
		v, err := m.version(ctx, dir)
		wanted := v.Major >= oldestMajor && (major == 0 || v.Major == major)
		if err == nil && wanted && v.newerThan(best.version) {
			best = binaries{dir: dir, version: v}
		}
	}
	for _, dir := range m.dirs() {
		consider(dir)
	}
	if best.dir != "" {
		return best, nil
	}
	dir, err := m.download(ctx)
	if err == nil {
		consider(dir)
		if best.dir != "" {
			return best, nil
		}
		err = errors.New("the downloaded version is another one")
	}
	return binaries{}, nothingFound(major, err)
}

func nothingFound(major int, err error) error {
	what, pkg, formula := fmt.Sprintf("Postgres server binaries (version %d or newer)", oldestMajor), "postgresql", "postgresql"
	if major != 0 {
		what = fmt.Sprintf("server binaries of Postgres %d, which made this data directory,", major)
		pkg, formula = fmt.Sprintf("postgresql-%d", major), fmt.Sprintf("postgresql@%d", major)
	}
	return fmt.Errorf("devpg: no %s on PATH or in the usual places, and the download failed (%w).\n"+
		"Install them: apt-get install %s (Debian, Ubuntu), dnf install postgresql-server (Fedora, RHEL), "+
		"brew install %s (macOS); or name a server of your own in VENDBOX_DATABASE_URL", what, err, pkg, formula)
}

// installedDirs lists the directories of PATH that hold a server, with links followed because PATH often links into
// a versioned directory, and the places where packages put servers without putting them on PATH.
func installedDirs() []string {
	var dirs []string
	seen := map[string]bool{}
	add := func(dir string) {
		postgres, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil || seen[filepath.Dir(postgres)] {
			return
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(postgres), "initdb")); err == nil {
			seen[filepath.Dir(postgres)] = true
			dirs = append(dirs, filepath.Dir(postgres))
		}
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		add(dir)
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/usr/local/pgsql/bin",
		"/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		matches, _ := filepath.Glob(pattern) // the patterns are constant and well-formed
		for _, dir := range matches {
			add(dir)
		}
	}
	return dirs
}

// askVersion runs `postgres --version`, as the user who will run the server, so that binaries which that user cannot
// execute are passed over.
func askVersion(ctx context.Context, dir string, who *account) (Version, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Dir = "/"
	cmd.SysProcAttr = childAttributes(who, 0)
	out, err := cmd.Output()
	if err != nil {
		return Version{}, err
	}
	return parseVersion(string(out))
}

var versionNumber = regexp.MustCompile(`\(PostgreSQL\) (\d+)(?:\.(\d+))?`)

// parseVersion reads "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)" and "postgres (PostgreSQL) 19beta1".
func parseVersion(out string) (Version, error) {
	m := versionNumber.FindStringSubmatch(out)
	if m == nil {
		return Version{}, fmt.Errorf("no version in %q", out)
	}
	major, err := strconv.Atoi(m[1])
	if err != nil {
		return Version{}, err
	}
	minor, _ := strconv.Atoi(m[2]) // absent in a beta: 0
	return Version{Major: major, Minor: minor}, nil
}
