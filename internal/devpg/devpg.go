//go:build unix

package devpg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// superuser is the role that initdb makes and that Server.URL names.
const superuser = "postgres"

// Server is a running Postgres.
type Server struct {
	dir      *dataDir
	proc     *process
	port     int
	password string
	version  Version

	stop    sync.Once
	stopErr error
}

// Start runs a server and returns when it accepts connections. ctx bounds the start only; the server runs until Stop
// or until this process ends.
//
// It returns ErrInUse when another process runs a server on DataDir, and an error that names what to install when
// there are no server binaries and none can be downloaded.
func Start(ctx context.Context, opts Options) (*Server, error) {
	root := tempRoot(opts.TempDir)
	sweepAbandoned(root)
	who, err := serverUser()
	if err != nil {
		return nil, err
	}
	dir, err := openDataDir(opts.DataDir, root, who)
	if err != nil {
		return nil, err
	}
	s, err := startIn(ctx, dir, who, opts)
	if err != nil {
		return nil, errors.Join(err, dir.close())
	}
	return s, nil
}

func startIn(ctx context.Context, dir *dataDir, who *account, opts Options) (*Server, error) {
	if err := dir.endOrphan(); err != nil {
		return nil, err
	}
	major, err := dir.clusterMajor()
	if err != nil {
		return nil, err
	}
	bins, err := findBinaries(ctx, machine(who), major)
	if err != nil {
		return nil, err
	}
	if major == 0 {
		if err := initCluster(ctx, bins, dir, who); err != nil {
			return nil, err
		}
	}
	password, err := dir.password()
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, password: password, version: bins.version}
	return s, s.launch(ctx, bins, who, opts)
}

// launch starts the server process. A free port can be taken by somebody else between its choice and its use, so a
// chosen port is tried again, a port asked for is not.
func (s *Server) launch(ctx context.Context, bins binaries, who *account, opts Options) error {
	const attempts = 5
	var err error
	for range attempts {
		s.port = opts.Port
		if s.port == 0 {
			if s.port, err = freePort(ctx); err != nil {
				return err
			}
		}
		s.proc, err = startProcess(bins, who, s.dir, s.arguments(opts), opts.Log)
		if err != nil {
			return err
		}
		if err = s.waitReady(ctx); err == nil {
			return nil
		}
		s.proc.end(s.dir.stopSignals())
		if opts.Port != 0 || ctx.Err() != nil || !s.proc.log.contains("could not bind") {
			break
		}
	}
	return fmt.Errorf("devpg: start %s on 127.0.0.1:%d: %w; its log:\n%s", bins.path("postgres"), s.port, err, s.proc.log)
}

// arguments is the postmaster's command line. The marker in cluster_name is how a later Start recognises a server as
// one of ours.
func (s *Server) arguments(opts Options) []string {
	settings := map[string]string{
		"shared_buffers":           "256MB",
		"max_wal_size":             "4GB",
		"synchronous_commit":       "on",
		"jit":                      "off",
		"shared_preload_libraries": "",
		"log_min_messages":         "warning",
		"timezone":                 "UTC",
		// Inside the data directory, so that a killed server leaves nothing elsewhere, and a container's small
		// /dev/shm does not matter.
		"dynamic_shared_memory_type": "mmap",
	}
	if opts.NoFsync {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	maps.Copy(settings, opts.Settings)
	// Last, because these are not for the caller to change.
	maps.Copy(settings, map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(s.port),
		"unix_socket_directories": "",
		"cluster_name":            clusterName,
		"logging_collector":       "off",
	})
	args := []string{"-D", s.dir.cluster()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// URL is a connection string for database db as the superuser. An empty db is "postgres".
func (s *Server) URL(db string) string {
	if db == "" {
		db = "postgres"
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.password),
		Host:     fmt.Sprintf("127.0.0.1:%d", s.port),
		Path:     "/" + db,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port is the port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// PID is the postmaster's process id.
func (s *Server) PID() int { return s.proc.cmd.Process.Pid }

// Version is the version of the server.
func (s *Server) Version() Version { return s.version }

// Done is closed when the server process has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.proc.done }

// Stop ends the server, breaking open connections, and removes the data unless it is to be kept. It may be called
// more than once and from several goroutines.
func (s *Server) Stop() error {
	s.stop.Do(func() {
		s.proc.end(s.dir.stopSignals())
		s.stopErr = s.dir.close()
	})
	return s.stopErr
}

// waitReady returns when the server answers a query, or with the reason why it never will.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	// The port may belong to somebody who accepts and says nothing: then our server has ended, and nobody will answer.
	go func() {
		select {
		case <-s.proc.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	var last error
	for {
		if last = ping(ctx, s.URL("")); last == nil {
			return nil
		}
		select {
		case <-s.proc.done:
			return errors.New("the server ended while starting")
		default:
		}
		select {
		case <-s.proc.done:
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer (%w): %w", context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}

// tempRoot is where thrown-away data directories live; one place per user, so that each finds its own leftovers.
func tempRoot(dir string) string {
	if dir == "" {
		dir = os.TempDir()
	}
	return filepath.Join(dir, fmt.Sprintf("vendbox-devpg-%d", os.Getuid()))
}
