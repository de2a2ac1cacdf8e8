//go:build unix

package devpg

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

var errLocked = errors.New("locked by another process")

// lockFile opens or makes a file and takes its lock without waiting; errLocked when somebody has it. Closing the file
// gives the lock up, and so does the end of this process. The file is then replaced on disk by nobody: a lock on a
// file that was removed in the meantime would protect nothing, so that case is tried again.
func lockFile(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, errLocked
			}
			return nil, err
		}
		if !sameFile(f, path) {
			f.Close()
			continue
		}
		if err := f.Truncate(0); err != nil {
			f.Close()
			return nil, err
		}
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid()) // for people and messages only
		return f, nil
	}
}

func sameFile(f *os.File, path string) bool {
	a, err1 := f.Stat()
	b, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// holder names the process that wrote the lock file.
func holder(path string) string {
	data, err := os.ReadFile(path)
	if pid := strings.TrimSpace(string(data)); err == nil && pid != "" {
		return pid
	}
	return "(unknown)"
}

// makePrivate makes a directory of this user in a place where everybody can write, and refuses one that somebody else
// made there first.
func makePrivate(path string, mode os.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not a directory of this user", path)
	}
	return os.Chmod(path, mode)
}
