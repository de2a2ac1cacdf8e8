package upkeep_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/failedjobs"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/upkeep"
)

// envVictim makes this test binary a worker on the database it names, until it is killed.
const envVictim = "VENDBOX_UPKEEP_VICTIM"

func TestMain(m *testing.M) {
	if url := os.Getenv(envVictim); url != "" {
		if err := beVictim(context.Background(), url); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

type stuckArgs struct {
	N int `json:"n"`
}

func (stuckArgs) Kind() string { return "stuck" }

// beVictim works jobs that never end and says when it has begun with each.
func beVictim(ctx context.Context, url string) error {
	pool, err := pgdb.Open(ctx, pgdb.Config{URL: url})
	if err != nil {
		return err
	}
	heart, err := upkeep.StartHeart(ctx, upkeep.HeartConfig{Pool: pool, ClientID: "victim"})
	if err != nil {
		return err
	}
	defer heart.Close()
	client, err := newClient(pool, "victim", victimJobs, func(ctx context.Context, job *river.Job[stuckArgs]) error {
		fmt.Fprintln(os.Stdout, "at work")
		<-ctx.Done()
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	<-client.Stopped()
	return nil
}

func newClient(
	pool *pgxpool.Pool, id string, maxWorkers int, work func(context.Context, *river.Job[stuckArgs]) error,
	middleware ...rivertype.Middleware,
) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(work))
	return river.NewClient(riverpgxv5.New(pool), &river.Config{
		ID: id, Schema: pgdb.DefaultSchema, Workers: workers, Middleware: middleware, JobTimeout: -1, Logger: slog.New(slog.DiscardHandler),
		FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 100 * time.Millisecond,
		Queues: map[string]river.QueueConfig{"cards": {MaxWorkers: maxWorkers}},
	})
}

// Promise I11, with the real times: it takes as long as the promise allows.
func TestJobsOfAKilledWorkerAreBackWithin15Seconds(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	worked := make(chan *river.Job[stuckArgs], 10)
	slow := make(chan struct{})
	client, err := newClient(db.Pool, "survivor", 10, func(ctx context.Context, job *river.Job[stuckArgs]) error {
		worked <- job
		if job.Args.N == slowJob { // one of the survivor's own takes longer than all of this
			<-slow
		}
		return nil
	})
	require.NoError(t, err)
	heart, err := upkeep.StartHeart(t.Context(), upkeep.HeartConfig{Pool: db.Pool, ClientID: client.ID()})
	require.NoError(t, err)
	t.Cleanup(heart.Close)
	rescuer, err := upkeep.StartRescuer(t.Context(), upkeep.RescuerConfig{Pool: db.Pool, ClientID: client.ID(), Queues: []string{"cards"}})
	require.NoError(t, err)
	t.Cleanup(rescuer.Close)

	victim := startVictim(t, db.URL)
	again := insertStuck(t, client, 1, 3)
	last := insertStuck(t, client, 2, 1)
	for range victimJobs {
		require.Equal(t, "at work\n", victim.line(t))
	}
	// Only now, so that the victim had both; and it has no room for a third.
	require.NoError(t, client.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.WithoutCancel(t.Context()))) })
	t.Cleanup(func() { close(slow) })
	mine := insertStuck(t, client, slowJob, 3)
	require.Equal(t, mine, receive(t, worked).ID)

	require.NoError(t, victim.cmd.Process.Kill())
	killed := time.Now()
	job := receive(t, worked)
	require.Equal(t, again, job.ID)
	require.Equal(t, 2, job.Attempt)
	require.Less(t, time.Since(killed), 15*time.Second)

	room := failedjobs.New(db.Pool, time.Now)
	var entries []failedjobs.Entry
	require.Eventually(t, func() bool {
		entries, _, err = room.List(t.Context(), failedjobs.Filter{}, "", 10)
		return err != nil || len(entries) > 0
	}, 5*time.Second, 20*time.Millisecond)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, last, entries[0].JobID)
	require.Contains(t, entries[0].Error, "worker process lost: client victim")

	var state string
	require.NoError(t, db.Pool.QueryRow(t.Context(), `select state from river_job where id = $1`, mine).Scan(&state))
	require.Equal(t, "running", state, "a slow worker that lives keeps its job")
	require.Empty(t, worked)
}

const (
	slowJob    = 99
	victimJobs = 2
)

func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	deadline := time.NewTimer(45 * time.Second)
	defer deadline.Stop()
	select {
	case v := <-ch:
		return v
	case <-deadline.C:
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

func insertStuck(t *testing.T, client *river.Client[pgx.Tx], n, maxAttempts int) int64 {
	t.Helper()
	inserted, err := client.Insert(t.Context(), stuckArgs{N: n}, &river.InsertOpts{Queue: "cards", MaxAttempts: maxAttempts})
	require.NoError(t, err)
	return inserted.Job.ID
}

type victim struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func startVictim(t *testing.T, url string) *victim {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), envVictim+"="+url)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // "signal: killed"
	})
	return &victim{cmd: cmd, out: bufio.NewReader(out)}
}

func (v *victim) line(t *testing.T) string {
	t.Helper()
	line, err := v.out.ReadString('\n')
	require.NoError(t, err)
	return line
}
