//go:build unix

package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// envUser makes this test binary a user of the meeting point it names, until it is killed.
const envUser = "VENDBOX_PGTEST_USER"

func TestMain(m *testing.M) {
	if at := os.Getenv(envUser); at != "" {
		f, err := meetingPoint(at).lock("users", syscall.LOCK_SH)
		fmt.Fprintln(os.Stdout, "using", f != nil, err)
		<-time.NewTimer(time.Hour).C
	}
	os.Exit(m.Run())
}

func TestKeeperRetiresWhenTheLastUserIsKilled(t *testing.T) {
	t.Parallel()
	at := meetingPoint(t.TempDir())
	require.NoError(t, os.WriteFile(at.path("url"), []byte("postgres://"), 0o600))
	first, second := startUser(t, at), startUser(t, at)

	require.Equal(t, used, at.retire(true))
	kill(t, first)
	require.Equal(t, used, at.retire(true), "one user is left")
	kill(t, second)
	require.Equal(t, unused, at.retire(false), "not at once")
	require.FileExists(t, at.path("url"))
	require.Equal(t, retired, at.retire(true))
	require.NoFileExists(t, at.path("url"))
}

func TestKeeperStaysWhileSomebodyIsComing(t *testing.T) {
	t.Parallel()
	at := meetingPoint(t.TempDir())
	coming, err := at.lock("start", syscall.LOCK_EX)
	require.NoError(t, err)
	require.Equal(t, used, at.retire(true))
	require.NoError(t, coming.Close())
	require.Equal(t, retired, at.retire(true))
}

func TestWaitUnusedEndsWithTheServer(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	close(ended)
	done := make(chan struct{})
	go func() {
		defer close(done)
		meetingPoint(t.TempDir()).waitUnused(t.Context(), ended)
	}()
	deadline, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	select {
	case <-done:
	case <-deadline.Done():
		require.FailNow(t, "the keeper outlives its server")
	}
}

func startUser(t *testing.T, at meetingPoint) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), envUser+"="+string(at))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "using true <nil>\n", line)
	return cmd
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // "signal: killed"
}
