// Package devpg runs a real Postgres server as a child process, for `vendbox demo`, `vendbox dev` and the tests.
//
// It prefers the newest server binaries on the machine and downloads some only when there are none. It works as root
// (the server then runs as another user, because Postgres refuses root) and as an ordinary user. The server listens on
// 127.0.0.1 only, asks for a random password and ends with its parent: at Stop, by a death signal where the system has
// one (Linux), and otherwise at the next Start, which looks for servers that a killed process left behind.
package devpg

import (
	"errors"
	"fmt"
	"io"
)

// ErrInUse says that another living process runs a server on the same data directory.
var ErrInUse = errors.New("the data directory is in use")

// Options says how to run a server. The zero value is a server on a free port whose data is thrown away.
type Options struct {
	// DataDir keeps the data between runs. It is made when missing and holds the cluster, its password and a lock.
	// Empty: a temporary directory that Stop removes.
	DataDir string
	// TempDir is where a directory that is thrown away is made; empty is the system's place for temporary files.
	TempDir string
	// Port on 127.0.0.1; 0 picks a free one.
	Port int
	// NoFsync trades crash safety for speed. For data that may be lost, such as a test's.
	NoFsync bool
	// Settings are server parameters (as in postgresql.conf) that win over the defaults.
	Settings map[string]string
	// Log receives the server's log; nil drops it (an error still quotes its end).
	Log io.Writer
}

// Version is a Postgres version such as 17.5; betas and release candidates have minor 0.
type Version struct{ Major, Minor int }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (v Version) newerThan(w Version) bool {
	return v.Major > w.Major || v.Major == w.Major && v.Minor > w.Minor
}
