package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// child is a process that a test started.
type child struct {
	name   string
	cmd    *exec.Cmd
	stdout output
	stderr output
	done   chan struct{}
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write keeps it.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// spawn starts a program. It is killed when the test ends; if that fails, its log is shown, but for programs that were
// done and content.
func spawn(t *testing.T, name string, env []string, program string, args ...string) *child {
	t.Helper()
	return spawnIn(t, t.TempDir(), name, env, program, args...)
}

func spawnIn(t *testing.T, dir, name string, env []string, program string, args ...string) *child {
	t.Helper()
	c := &child{name: name, done: make(chan struct{})}
	c.cmd = exec.Command(program, args...) //nolint:noctx // it lives until the cleanup, after the test's context
	c.cmd.Dir = dir
	// Nothing of the developer's own settings, but what programs need to run at all.
	temp := os.TempDir() //nolint:usetesting // theirs is where ours is
	c.cmd.Env = slices.Concat(env, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + temp})
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	c.cmd.SysProcAttr = bound()
	c.cmd.WaitDelay = time.Second
	started := make(chan error, 1)
	go func() {
		// Linux sends the death signal when the thread that forked ends, so it stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(c.done)
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // ProcessState has it
		}
	}()
	require.NoError(t, <-started)
	t.Cleanup(func() {
		c.kill()
		if t.Failed() && !c.cmd.ProcessState.Success() {
			t.Logf("%s printed:\n%s%s", name, tail(c.stdout.String()), tail(c.stderr.String()))
		}
	})
	return c
}

// tail is the last part of a log, from a line's begin on, without what is mere information.
func tail(log string) string {
	const most = 16 << 10
	log = strings.Join(slices.DeleteFunc(strings.SplitAfter(log, "\n"), func(line string) bool {
		return strings.Contains(line, `"level":"INFO"`)
	}), "")
	if len(log) <= most {
		return log
	}
	log = log[len(log)-most:]
	return "…" + log[strings.IndexByte(log, '\n')+1:]
}

// kill ends it like a power cut and waits until it is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended by itself
	<-c.done
}

// wait waits for its own end and gives the exit code.
func (c *child) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		require.Failf(t, "still running", "%s after %s", c.name, limit)
	}
	return c.cmd.ProcessState.ExitCode()
}

// terminate asks it to end and gives the exit code.
func (c *child) terminate(t *testing.T, limit time.Duration) int {
	t.Helper()
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	return c.wait(t, limit)
}

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// result of a program that ran to its end.
type result struct {
	code           int
	stdout, stderr string
}

// runVendbox runs a command to its end.
func runVendbox(t *testing.T, env []string, args ...string) result {
	t.Helper()
	return runProgram(t, env, binary, args...)
}

func runProgram(t *testing.T, env []string, program string, args ...string) result {
	t.Helper()
	return runIn(t, t.TempDir(), env, program, args...)
}

func runIn(t *testing.T, dir string, env []string, program string, args ...string) result {
	t.Helper()
	c := spawnIn(t, dir, program+" "+strings.Join(args, " "), env, program, args...)
	code := c.wait(t, time.Minute)
	return result{code, c.stdout.String(), c.stderr.String()}
}

// await waits until check gives no error, and fails with its last one.
func await(t *testing.T, limit time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			require.NoErrorf(t, err, "%s: not within %s", what, limit)
		}
	}
}
