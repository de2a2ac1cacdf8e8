//go:build unix

package devpg

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the system user that runs the server: nil means the user who runs this process.
type account struct {
	name     string
	uid, gid int
}

// serverUser chooses the account. Postgres refuses to run as root, so root lends the server to "postgres", which a
// machine with Postgres usually has, or to "nobody".
func serverUser() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is a meaningful account: nobody to switch to
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("devpg: user %s: %w", name, err)
		}
		return &account{name: name, uid: uid, gid: gid}, nil
	}
	return nil, errors.New("devpg: Postgres does not run as root and there is neither a user 'postgres' nor 'nobody': " +
		"run as an ordinary user, or make one (useradd --system postgres)")
}

// own gives path to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// canReach checks that the account may pass through every directory above path: root's own directories are usually
// closed to others, and initdb's message about it does not say which one.
func (a *account) canReach(path string) error {
	if a == nil {
		return nil
	}
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if ok && !a.maySearch(st, info.Mode()) {
			return fmt.Errorf("the user %q, as whom the server runs because Postgres refuses root, cannot enter %s: "+
				"choose another directory (--data-dir, TMPDIR) or run as an ordinary user", a.name, dir)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func (a *account) maySearch(st *syscall.Stat_t, mode os.FileMode) bool {
	const search = 0o1
	switch {
	case int(st.Uid) == a.uid:
		return mode>>6&search != 0
	case int(st.Gid) == a.gid:
		return mode>>3&search != 0
	default:
		return mode&search != 0
	}
}

func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}
