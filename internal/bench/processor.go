package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cpuClock adds up the processor time of this process and of a Postgres on this machine. On a machine whose cores are
// shared with others it says more than the clock on the wall.
type cpuClock struct{ postmaster int } // its process id; 0: not here

// cpuTime is processor time.
type cpuTime struct{ process, postgres time.Duration }

// since is what was used from a reading to a later one. Servers' processes that have ended meanwhile took theirs along.
func (t cpuTime) since(before cpuTime) cpuTime {
	return cpuTime{t.process - before.process, max(t.postgres-before.postgres, 0)}
}

// per is the share of one of n orders.
func (t cpuTime) per(n int64) Processor {
	share := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(max(n, 1)) }
	return Processor{Process: share(t.process), Postgres: share(t.postgres)}
}

// Processor is the processor time that an order took, in microseconds. Zero: not known on this system.
type Processor struct {
	Process  float64 `json:"process"`            // the load generator and the server
	Postgres float64 `json:"postgres,omitempty"` // where it runs on this machine
}

// String is the process's share and Postgres'.
func (p Processor) String() string { return fmt.Sprintf("%.0f + %.0f", p.Process, p.Postgres) }

// read reads the clock.
func (c cpuClock) read() (cpuTime, error) {
	own, err := ownTime()
	if err != nil {
		return cpuTime{}, fmt.Errorf("bench: processor time: %w", err)
	}
	t := cpuTime{process: own}
	if c.postmaster != 0 {
		t.postgres = familyTime(c.postmaster)
	}
	return t, nil
}

// familyTime is what a process and its living children have used, as /proc has it.
func familyTime(parent int) (sum time.Duration) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil || !isFamily(string(text), parent) {
			continue // it has ended since
		}
		spent, err := os.ReadFile(filepath.Join(filepath.Dir(stat), "schedstat"))
		if err != nil {
			continue
		}
		nanoseconds, _, _ := strings.Cut(string(spent), " ")
		if n, err := strconv.ParseInt(nanoseconds, 10, 64); err == nil {
			sum += time.Duration(n)
		}
	}
	return sum
}

// isFamily reads "pid (comm) state ppid …": comm may hold anything, spaces and brackets too.
func isFamily(stat string, parent int) bool {
	pid, _, _ := strings.Cut(stat, " ")
	after := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	wanted := strconv.Itoa(parent)
	return pid == wanted || len(after) > 1 && after[1] == wanted
}
