//go:build unix

package devpg

import (
	"io"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a running postmaster.
type process struct {
	cmd  *exec.Cmd
	log  *logTail
	done chan struct{}
}

// startProcess runs postgres. The thread that forks waits for the child until its end: Linux sends the death signal
// when the *thread* that forked ends, not the process, and the Go runtime ends threads as it likes.
func startProcess(bins binaries, who *account, d *dataDir, args []string, log io.Writer) (*process, error) {
	p := &process{log: &logTail{next: log}, done: make(chan struct{})}
	p.cmd = exec.Command(bins.path("postgres"), args...) //nolint:noctx // it outlives the context of its start
	p.cmd.Dir = "/"
	p.cmd.Env = childEnv()
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.WaitDelay = 2 * time.Second
	p.cmd.SysProcAttr = childAttributes(who, d.stopSignals()[0])
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in the log
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// end sends one signal after the other until the process has ended.
func (p *process) end(signals []syscall.Signal) {
	const patience = 15 * time.Second
	for _, sig := range signals {
		select {
		case <-p.done:
			return
		default:
		}
		_ = p.cmd.Process.Signal(sig) // it may have ended just now
		select {
		case <-p.done:
			return
		case <-time.After(patience):
		}
	}
	<-p.done
}
