//go:build unix

package devpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dataDir is one server's directory, held by an exclusive lock for as long as this process runs its server. The lock
// is the kernel's, so it is gone with the process, however that ended: whoever gets the lock knows that the one before
// is dead, and that a server still running there is an orphan.
//
//	devpg.lock   the lock; names its holder
//	password     the superuser's
//	cluster/     Postgres' own data directory
type dataDir struct {
	path      string
	temporary bool
	lock      *os.File
}

// openDataDir locks the directory, making it first when it is missing; an empty path is a new temporary one in root.
func openDataDir(path, root string, who *account) (*dataDir, error) {
	d := &dataDir{path: path, temporary: path == ""}
	if err := d.make(root); err != nil {
		return nil, fmt.Errorf("devpg: data directory: %w", err)
	}
	var err error
	if d.lock, err = lockFile(d.lockPath()); err != nil {
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("devpg: %w: %s is held by process %s; end that one or choose another directory",
				ErrInUse, d.path, holder(d.lockPath()))
		}
		return nil, fmt.Errorf("devpg: lock %s: %w", d.path, err)
	}
	if err := who.canReach(d.path); err != nil {
		return nil, errors.Join(fmt.Errorf("devpg: %w", err), d.close())
	}
	return d, nil
}

// make creates the directory. Others may pass through it but not list it: the server's user has to reach its cluster.
func (d *dataDir) make(root string) error {
	const passable = 0o711
	if d.temporary {
		if err := makePrivate(root, passable); err != nil {
			return err
		}
		path, err := os.MkdirTemp(root, "pg-")
		if err != nil {
			return err
		}
		d.path = path
		return os.Chmod(path, passable)
	}
	path, err := filepath.Abs(d.path)
	if err != nil {
		return err
	}
	d.path = path
	if _, err := os.Stat(filepath.Join(path, "PG_VERSION")); err == nil {
		return fmt.Errorf("%s is a cluster of a server run by other means; choose an empty directory", path)
	}
	return os.MkdirAll(path, passable)
}

func (d *dataDir) cluster() string  { return filepath.Join(d.path, "cluster") }
func (d *dataDir) lockPath() string { return filepath.Join(d.path, "devpg.lock") }

// close gives the directory up, removing it when it is temporary. The lock goes last, so that nobody else sweeps the
// directory at the same time.
func (d *dataDir) close() error {
	var err error
	if d.temporary {
		err = os.RemoveAll(d.path)
	}
	return errors.Join(err, d.lock.Close())
}

// stopSignals are sent to the postmaster one after the other until it ends. Fast shutdown writes a checkpoint, which
// data that is deleted next can do without.
func (d *dataDir) stopSignals() []syscall.Signal {
	if d.temporary {
		return []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL}
	}
	return []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL}
}

// clusterMajor is the major version that made the cluster, 0 when there is none yet.
func (d *dataDir) clusterMajor() (int, error) {
	data, err := os.ReadFile(filepath.Join(d.cluster(), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("devpg: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, fmt.Errorf("devpg: %s: %w", filepath.Join(d.cluster(), "PG_VERSION"), err)
	}
	return major, nil
}

func (d *dataDir) passwordPath() string { return filepath.Join(d.path, "password") }

func (d *dataDir) password() (string, error) {
	data, err := os.ReadFile(d.passwordPath())
	if err != nil {
		return "", fmt.Errorf("devpg: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// initCluster runs initdb with a new random password. It works in a directory of its own that is renamed at the end,
// so that a start which is killed halfway leaves nothing that looks like a cluster.
func initCluster(ctx context.Context, bins binaries, d *dataDir, who *account) error {
	if err := os.WriteFile(d.passwordPath(), []byte(rand.Text()+"\n"), 0o600); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	unfinished := d.cluster() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	if err := os.Mkdir(unfinished, 0o700); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	if err := who.own(unfinished); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	pwfile, err := lendPassword(d, who)
	if err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	defer os.Remove(pwfile)
	cmd := exec.CommandContext(ctx, bins.path("initdb"),
		"--pgdata", unfinished, "--username", superuser, "--pwfile", pwfile, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	cmd.Dir = "/"
	cmd.Env = childEnv()
	cmd.SysProcAttr = childAttributes(who, syscall.SIGKILL)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("devpg: %s: %w\n%s", cmd.Path, err, out)
	}
	if err := os.Rename(unfinished, d.cluster()); err != nil {
		return fmt.Errorf("devpg: %w", err)
	}
	return nil
}

// lendPassword copies the password into a file that the server's user can read.
func lendPassword(d *dataDir, who *account) (string, error) {
	password, err := d.password()
	if err != nil {
		return "", err
	}
	path := d.passwordPath() + ".initdb"
	if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
		return "", err
	}
	return path, who.own(path)
}

// childEnv is the whole environment of the server's programs: ours may hold secrets, and the server may run as a user
// whose processes others can look into. The locale is set because macOS needs one and messages are matched.
func childEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TMPDIR=" + os.TempDir()}
}
