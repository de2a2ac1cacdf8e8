package bench

import (
	"context"
	"fmt"
	"runtime"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Machine is what a figure depends on and cannot be told from it.
type Machine struct {
	OS                string `json:"os"`
	CPUs              int    `json:"cpus"` // shared by the load generator, the servers and, when it is here, Postgres
	Go                string `json:"go"`
	Postgres          string `json:"postgres"`
	Fsync             string `json:"fsync"`
	SynchronousCommit string `json:"synchronous_commit"`
	SharedBuffers     string `json:"shared_buffers"`
}

func machineOf(ctx context.Context, pool *pgxpool.Pool) (Machine, error) {
	m := Machine{OS: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0), Go: runtime.Version()}
	err := pool.QueryRow(ctx, `select current_setting('server_version'), current_setting('fsync'),
		current_setting('synchronous_commit'), current_setting('shared_buffers')`).
		Scan(&m.Postgres, &m.Fsync, &m.SynchronousCommit, &m.SharedBuffers)
	if err != nil {
		return m, fmt.Errorf("bench: the server's settings: %w", err)
	}
	return m, nil
}

// String is the machine in one line.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d CPUs for everything, %s, Postgres %s, fsync %s, synchronous_commit %s, shared_buffers %s",
		m.OS, m.CPUs, m.Go, m.Postgres, m.Fsync, m.SynchronousCommit, m.SharedBuffers)
}
