//go:build unix

package devpg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clusterName marks our servers: it stands in the postmaster's command line.
const clusterName = "vendbox-devpg"

// endOrphan ends the server that a killed process left on this directory, if there is one. It must hold the lock. A
// process is only ended when it is the one named in the pid file and its own command line says that it is our
// postmaster for this directory: process ids are used again.
func (d *dataDir) endOrphan() error {
	pid, err := d.pidInFile()
	if err != nil || pid == 0 {
		return err
	}
	args, err := commandLine(pid)
	if err != nil || !isPostmaster(args, d.cluster()) {
		//nolint:nilerr // ended, or the number belongs to another program now: Postgres replaces the stale pid file itself
		return nil
	}
	if !slices.Contains(args, "cluster_name="+clusterName) {
		return fmt.Errorf("devpg: %w: process %d runs a server on %s that was started by other means; end that one first",
			ErrInUse, pid, d.cluster())
	}
	for _, sig := range d.stopSignals() {
		_ = syscall.Kill(pid, sig) // it may have ended just now
		if waitGone(pid, 10*time.Second) {
			return nil
		}
	}
	return fmt.Errorf("devpg: cannot end the abandoned server %d on %s", pid, d.cluster())
}

// pidInFile reads the first line of postmaster.pid, 0 when there is no such file.
func (d *dataDir) pidInFile() (int, error) {
	data, err := os.ReadFile(filepath.Join(d.cluster(), "postmaster.pid"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("devpg: %w", err)
	}
	first, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return 0, nil //nolint:nilerr // half-written by a server that died; Postgres deals with it
	}
	return pid, nil
}

// isPostmaster says whether args is the command line of a postmaster for the cluster.
func isPostmaster(args []string, cluster string) bool {
	if len(args) == 0 || filepath.Base(args[0]) != "postgres" {
		return false
	}
	i := slices.Index(args, "-D")
	return i >= 0 && i+1 < len(args) && args[i+1] == cluster
}

// waitGone polls until the process has ended.
func waitGone(pid int, limit time.Duration) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for {
		if args, err := commandLine(pid); err != nil || len(args) == 0 {
			return true
		}
		select {
		case <-deadline:
			return false
		case <-tick.C:
		}
	}
}

// sweepAbandoned ends the servers and removes the directories in root of processes that died without Stop. It does what it
// can: a directory it cannot clean now is tried again at the next start.
func sweepAbandoned(root string) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return
	}
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		if beingMade(e, path) {
			continue
		}
		lock, err := lockFile(filepath.Join(path, "devpg.lock"))
		if err != nil {
			continue
		}
		d := &dataDir{path: path, temporary: true, lock: lock}
		if err := d.endOrphan(); err != nil {
			lock.Close()
			continue
		}
		_ = d.close()
	}
}

// beingMade says whether another process may be just about to lock the directory: it is young and its lock file names
// nobody yet.
func beingMade(e os.DirEntry, path string) bool {
	if lock, err := os.Stat(filepath.Join(path, "devpg.lock")); err == nil && lock.Size() > 0 {
		return false
	}
	info, err := e.Info()
	return err != nil || time.Since(info.ModTime()) < time.Minute
}
