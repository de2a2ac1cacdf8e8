//go:build unix && !linux

package devpg

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttributes runs a child as the account, in a process group of its own, because Ctrl-C in a terminal signals the
// whole group. There is no death signal here: the next Start ends what a killed parent left behind.
func childAttributes(who *account, _ syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: who.credential(), Setpgid: true}
}

// commandLine is the argument list of a process; an error when there is no such process. ps joins the arguments with
// spaces, so an argument with a space is seen as two: such a process is not recognised, which is the safe side.
func commandLine(pid int) ([]string, error) {
	out, err := exec.Command("ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // ends at once
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(out)), nil
}
