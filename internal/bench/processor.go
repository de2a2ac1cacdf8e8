package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processor adds up the processor time of this process and of a Postgres on this machine. On a machine whose cores are
// shared with others it says more than the clock does: what an order costs is the same in a busy hour.
type processor struct{ postmaster int }

// used is processor time since the processes began.
type used struct{ process, postgres time.Duration }

func (u used) minus(before used) used {
	return used{u.process - before.process, u.postgres - before.postgres}
}

// per is the share of one of n orders.
func (u used) per(n int64) Processor {
	share := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(max(n, 1)) }
	return Processor{Process: share(u.process), Postgres: share(u.postgres)}
}

// Processor is the processor time that an order took, in microseconds.
type Processor struct {
	Process  float64 `json:"process"`            // the load generator and the server
	Postgres float64 `json:"postgres,omitempty"` // where it runs on this machine
}

// String is the process's share and Postgres'.
func (p Processor) String() string { return fmt.Sprintf("%.0f + %.0f", p.Process, p.Postgres) }

// read reads the clocks. Where there is no /proc, or no postmaster's id is known, postgres is zero.
func (p processor) read() (used, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return used{}, fmt.Errorf("bench: processor time: %w", err)
	}
	u := used{process: time.Duration(usage.Utime.Nano() + usage.Stime.Nano())}
	if p.postmaster == 0 {
		return u, nil
	}
	var err error
	u.postgres, err = familyTime(p.postmaster)
	return u, err
}

// familyTime is what a process and its living children have used.
func familyTime(parent int) (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended since
		}
		if !isFamily(string(text), parent) {
			continue
		}
		spent, err := os.ReadFile(filepath.Join(filepath.Dir(stat), "schedstat"))
		if err != nil {
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			return 0, fmt.Errorf("bench: processor time: %w", err)
		}
		first, _, _ := strings.Cut(string(spent), " ")
		nanoseconds, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("bench: processor time: %w", err)
		}
		sum += time.Duration(nanoseconds)
	}
	return sum, nil
}

// isFamily reads "pid (comm) state ppid …": comm may hold anything, spaces and brackets too.
func isFamily(stat string, parent int) bool {
	pid, _, _ := strings.Cut(stat, " ")
	after := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	wanted := strconv.Itoa(parent)
	return pid == wanted || len(after) > 1 && after[1] == wanted
}
