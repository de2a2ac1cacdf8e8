//go:build unix

package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/vendbox/vendbox/internal/devpg"
)

const (
	// generation changes with the settings below.
	generation = "3"
	// linger is how long the server outlives its last user: the pause between two packages of one run, while the
	// second is being compiled, should not cost a new server.
	linger = 15 * time.Second
	// ready is what the keeper says when the server is up.
	ready = "ready"
	// sayFD is the keeper's end of the pipe to whoever started it.
	sayFD = 3
)

// settings make a server for many small databases whose content may be lost at any moment.
var settings = map[string]string{
	"max_connections":           "300",
	"synchronous_commit":        "off",
	"shared_buffers":            "256MB",
	"wal_level":                 "minimal",
	"max_wal_senders":           "0",
	"max_wal_size":              "512MB",
	"checkpoint_timeout":        "1h",
	"autovacuum":                "off", // a worker in the template would hold up its copies
	"max_locks_per_transaction": "256",
}

// keep runs the server until nobody uses it any more, and returns the exit code.
func keep(at meetingPoint) int {
	syscall.CloseOnExec(sayFD) // the server's copy would keep the pipe open
	say := os.NewFile(sayFD, "say")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	srv, err := devpg.Start(ctx, devpg.Options{NoFsync: true, Settings: settings, TempDir: memoryDir()})
	if err != nil {
		fmt.Fprint(say, err)
		return 1
	}
	if err := os.WriteFile(at.path("url"), []byte(srv.URL("")), 0o600); err != nil {
		fmt.Fprint(say, err)
		_ = srv.Stop()
		return 1
	}
	fmt.Fprint(say, ready)
	say.Close()
	at.waitUnused(ctx, srv.Done())
	if err := srv.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// waitUnused returns when there was no user for a while and none can come: from then on, whoever looks finds no URL
// and starts another server.
func (at meetingPoint) waitUnused(ctx context.Context, ended <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	lastUsed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-tick.C:
		}
		switch at.retire(time.Since(lastUsed) >= linger) {
		case used:
			lastUsed = time.Now()
		case unused: // for too short a time
		case retired:
			return
		}
	}
}

type usage int

const (
	used usage = iota
	unused
	retired
)

// retire looks whether there are users; if not, and it is time, it takes the URL away, under the lock that everybody
// holds who looks for it.
func (at meetingPoint) retire(due bool) usage {
	starting, err := at.lock("start", syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return used // somebody is just coming
	}
	defer starting.Close()
	users, err := at.lock("users", syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return used
	}
	defer users.Close()
	if !due {
		return unused
	}
	_ = os.Remove(at.path("url"))
	return retired
}
