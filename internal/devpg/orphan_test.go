//go:build unix

package devpg

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// envParent makes this test binary a parent: it runs a server with the options it names, says where, and waits for its
// standard input to end or for its death.
const envParent = "VENDBOX_DEVPG_PARENT"

// envBystander makes it a process that only waits.
const envBystander = "VENDBOX_DEVPG_BYSTANDER"

type parentOptions struct {
	DataDir string `json:"data_dir"`
	TempDir string `json:"temp_dir"`
}

type parentAnswer struct {
	URL string `json:"url"`
	Dir string `json:"dir"`
	PID int    `json:"pid"`
	UID int    `json:"uid"`
	Err string `json:"err"`
}

func TestMain(m *testing.M) {
	if opts := os.Getenv(envParent); opts != "" {
		os.Exit(beParent(opts))
	}
	if os.Getenv(envBystander) != "" {
		<-time.NewTimer(time.Hour).C
	}
	os.Exit(m.Run())
}

func beParent(opts string) int {
	var o parentOptions
	answer := parentAnswer{UID: os.Getuid()}
	err := json.Unmarshal([]byte(opts), &o)
	var s *Server
	if err == nil {
		s, err = Start(context.Background(), Options{DataDir: o.DataDir, TempDir: o.TempDir, NoFsync: true})
	}
	if err != nil {
		answer.Err = err.Error()
		_ = json.NewEncoder(os.Stdout).Encode(answer) //nolint:errchkjson // the exit code says it too
		return 1
	}
	answer.URL, answer.PID, answer.Dir = s.URL(""), s.PID(), s.dir.path
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		_ = s.Stop()
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := s.Stop(); err != nil {
		return 1
	}
	return 0
}

// parent is a process that runs a server.
type parent struct {
	parentAnswer

	cmd   *exec.Cmd
	stdin io.Closer
}

func startParent(t *testing.T, exe string, opts parentOptions, cred *syscall.Credential) *parent {
	t.Helper()
	encoded, err := json.Marshal(opts)
	require.NoError(t, err)
	p := &parent{cmd: exec.CommandContext(t.Context(), exe)}
	p.cmd.Env = append(os.Environ(), envParent+"="+string(encoded))
	p.cmd.Dir = "/"
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(line, &p.parentAnswer))
	require.Empty(t, p.Err)
	return p
}

func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return exe
}

func requireGone(t *testing.T, pid int) {
	t.Helper()
	require.True(t, waitGone(pid, 10*time.Second), "server %d is still there", pid)
}

// A killed parent takes its server with it where there is a death signal, and the next start removes the data.
func TestKilledParentLeavesNothing(t *testing.T) {
	t.Parallel()
	temp := reachable(t)
	p := startParent(t, self(t), parentOptions{TempDir: temp}, nil)
	require.NoError(t, ping(t.Context(), p.URL))
	require.NoError(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()
	if runtime.GOOS == "linux" {
		requireGone(t, p.PID)
	}
	require.DirExists(t, p.Dir)

	start(t, Options{TempDir: temp, NoFsync: true})
	requireGone(t, p.PID)
	require.NoDirExists(t, p.Dir)
}

func TestKilledParentOfKeptData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "data")
	p := startParent(t, self(t), parentOptions{DataDir: dir}, nil)
	require.NoError(t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()

	s := start(t, Options{DataDir: dir})
	requireGone(t, p.PID)
	require.NoError(t, ping(t.Context(), s.URL("")))
}

// Without a death signal the server lives on; the next start on its directory ends it, and only it.
func TestOrphanIsEnded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachable(t), "data")
	s, err := Start(t.Context(), Options{DataDir: dir})
	require.NoError(t, err)
	require.NoError(t, s.dir.lock.Close(), "as if this process had died, and its death signal with it")

	again := start(t, Options{DataDir: dir})
	<-s.Done()
	require.NoError(t, ping(t.Context(), again.URL("")))
}

// A pid file that names another program's process is stale: process ids are used again.
func TestStalePidFileHurtsNobody(t *testing.T) {
	t.Parallel()
	d := &dataDir{path: t.TempDir()}
	require.NoError(t, os.Mkdir(d.cluster(), 0o700))
	bystander := exec.CommandContext(t.Context(), self(t))
	bystander.Env = append(os.Environ(), envBystander+"=1")
	require.NoError(t, bystander.Start())
	t.Cleanup(func() { _ = bystander.Process.Kill(); _ = bystander.Wait() })
	write := func(content string) {
		require.NoError(t, os.WriteFile(filepath.Join(d.cluster(), "postmaster.pid"), []byte(content), 0o600))
	}
	for _, content := range []string{fmt.Sprintf("%d\n%s\n", bystander.Process.Pid, d.cluster()), "", "nonsense\n", "1\n", "-1\n"} {
		write(content)
		require.NoError(t, d.endOrphan())
	}
	require.NoError(t, bystander.Process.Signal(syscall.Signal(0)), "it lives")
}

func TestIsPostmaster(t *testing.T) {
	t.Parallel()
	require.True(t, isPostmaster([]string{"/usr/lib/postgresql/17/bin/postgres", "-D", "/data/cluster", "-c", "x=y"}, "/data/cluster"))
	require.False(t, isPostmaster([]string{"/usr/bin/postgres", "-D", "/other"}, "/data/cluster"))
	require.False(t, isPostmaster([]string{"vim", "-D", "/data/cluster"}, "/data/cluster"))
	require.False(t, isPostmaster([]string{"postgres", "-D"}, "/data/cluster"))
	require.False(t, isPostmaster(nil, "/data/cluster"))
}

// A server that somebody started by other means is not ours to end.
func TestForeignServerIsNotEnded(t *testing.T) {
	t.Parallel()
	d := &dataDir{path: t.TempDir()}
	require.NoError(t, os.Mkdir(d.cluster(), 0o700))
	fake := exec.CommandContext(t.Context(), self(t), "-D", d.cluster())
	fake.Args[0] = "postgres"
	fake.Env = append(os.Environ(), envBystander+"=1")
	require.NoError(t, fake.Start())
	t.Cleanup(func() { _ = fake.Process.Kill(); _ = fake.Wait() })
	require.NoError(t, os.WriteFile(filepath.Join(d.cluster(), "postmaster.pid"), fmt.Appendln(nil, fake.Process.Pid), 0o600))
	require.ErrorIs(t, d.endOrphan(), ErrInUse)
	require.NoError(t, fake.Process.Signal(syscall.Signal(0)), "it lives")
}

// As root every other test runs the server as another user; here the parent is an ordinary user itself.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("every other test runs as an ordinary user already")
	}
	const nobody = 65534
	dir := reachable(t)
	temp := filepath.Join(dir, "tmp")
	require.NoError(t, os.Mkdir(temp, 0o700))
	require.NoError(t, os.Chown(temp, nobody, nobody))
	exe := filepath.Join(dir, "parent")
	// Copied by another process: a file that this one wrote may still be open in a child that a parallel test is just
	// starting, and could not be run then ("text file busy").
	require.NoError(t, exec.CommandContext(t.Context(), "cp", "-p", self(t), exe).Run())

	p := startParent(t, exe, parentOptions{TempDir: temp}, &syscall.Credential{Uid: nobody, Gid: nobody})
	require.Equal(t, nobody, p.UID)
	require.Equal(t, "on", query(t, p.URL, "show is_superuser"))
	require.NoError(t, p.stdin.Close())
	require.NoError(t, p.cmd.Wait())
	requireGone(t, p.PID)
	require.NoDirExists(t, p.Dir)
}

func TestRootCannotUseAClosedDirectory(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root lends the server to another user")
	}
	closed := filepath.Join(reachable(t), "closed")
	require.NoError(t, os.Mkdir(closed, 0o700))
	_, err := Start(t.Context(), Options{DataDir: filepath.Join(closed, "data")})
	require.ErrorContains(t, err, "cannot enter "+closed)
}
