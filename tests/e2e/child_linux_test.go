package e2e

import "syscall"

// bound makes a child die with this process, even when that is killed. Its own process group keeps a Ctrl-C at the
// terminal from it.
func bound() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
