package devpg

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// childAttributes runs a child as the account, in a process group of its own, because Ctrl-C in a terminal signals the
// whole group and would end the server under a parent that is still finishing its work. death is sent to the child
// when its parent dies.
func childAttributes(who *account, death syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: who.credential(), Setpgid: true, Pdeathsig: death}
}

// commandLine is the argument list of a process; empty for a zombie, an error when there is no such process.
func commandLine(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return strings.Split(string(bytes.TrimRight(data, "\x00")), "\x00"), nil
}
