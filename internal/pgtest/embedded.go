//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// The embedded server belongs to no test binary, since it has to outlive the one that starts it. A keeper owns it: the
// same executable, run again with envKeeper set, in a session of its own. Users and keeper meet in a directory:
//
//	start   locked by whoever looks for the server, starts it or ends it: one at a time
//	users   every user holds a shared lock until its process ends; the kernel drops the locks of killed ones too
//	url     the server's URL, written when it is ready
//	log     the keeper's output
//
// The keeper ends the server when it can have the lock on users exclusively, and has been able to for a while.
const envKeeper = "VENDBOX_PGTEST_KEEPER"

//nolint:gochecknoinits // every test binary can be the keeper, without a line in its TestMain
func init() {
	if dir := os.Getenv(envKeeper); dir != "" {
		os.Exit(keep(meetingPoint(dir)))
	}
}

// inUse is this process's share in the server; only the end of the process gives it up.
//
//nolint:unused // a file that nothing refers to is closed, and its lock is gone
var inUse *os.File

// embedded returns the URL of the shared server, starting it when there is none.
func embedded(ctx context.Context) (string, error) {
	at, err := findMeetingPoint()
	if err != nil {
		return "", err
	}
	starting, err := at.lock("start", syscall.LOCK_EX)
	if err != nil {
		return "", err
	}
	defer starting.Close()
	if inUse, err = at.lock("users", syscall.LOCK_SH); err != nil {
		return "", err
	}
	if url, err := os.ReadFile(at.path("url")); err == nil && answers(ctx, string(url)) {
		return string(url), nil
	}
	if err := at.startKeeper(); err != nil {
		return "", err
	}
	url, err := os.ReadFile(at.path("url"))
	return string(url), err
}

func answers(ctx context.Context, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return false
	}
	defer conn.Close(ctx)
	return conn.Ping(ctx) == nil
}

// startKeeper runs the keeper and waits until it says over a pipe that the server is ready, or why not.
func (at meetingPoint) startKeeper() error {
	if err := os.Remove(at.path("url")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	// Its own log: go test waits for everybody who holds a test's output open.
	log, err := os.Create(at.path("log"))
	if err != nil {
		return err
	}
	defer log.Close()
	answer, say, err := os.Pipe()
	if err != nil {
		return err
	}
	defer answer.Close()
	cmd := exec.Command(exe) //nolint:noctx // it outlives this process
	cmd.Env = append(os.Environ(), envKeeper+"="+string(at))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{say}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	err = cmd.Start()
	say.Close()
	if err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	said, err := io.ReadAll(answer)
	if err != nil {
		return err
	}
	if string(said) != ready {
		out, _ := os.ReadFile(at.path("log"))
		return fmt.Errorf("start the embedded server: %s\n%s", said, out)
	}
	return nil
}

// meetingPoint is the directory where users and keeper meet.
type meetingPoint string

func (at meetingPoint) path(name string) string { return filepath.Join(string(at), name) }

// findMeetingPoint makes the directory, one per user. The generation is part of its name, so that a change of the
// server's settings does not meet a server with the old ones.
func findMeetingPoint() (meetingPoint, error) {
	at := filepath.Join(os.TempDir(), fmt.Sprintf("vendbox-pgtest-%d-%s", os.Getuid(), generation))
	if err := os.Mkdir(at, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(at)
	if err != nil {
		return "", err
	}
	// Anybody can write in the directory for temporary files, and the URL in here holds a password.
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ok || int(st.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s is not a private directory of this user: remove it", at)
	}
	return meetingPoint(at), nil
}

// lock opens a file and locks it; with LOCK_NB in how it fails with EWOULDBLOCK rather than waits.
func (at meetingPoint) lock(name string, how int) (*os.File, error) {
	f, err := os.OpenFile(at.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", strings.TrimPrefix(f.Name(), os.TempDir()), err)
	}
	return f, nil
}
