package upkeep_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/upkeep"
)

const me = "survivor"

// lossy is a connection to Postgres that breaks instead of giving the answer of the first fetch that had a job.
type lossy struct {
	net.Conn

	fetching bool
	lost     *sync.Once
	onLoss   func()
}

func (c *lossy) Write(b []byte) (int, error) {
	c.fetching = c.fetching || bytes.Contains(b, []byte("-- name: JobGetAvailable "))
	return c.Conn.Write(b)
}

// Read passes on what Postgres sends. It sends so short an answer after the commit, in one piece.
func (c *lossy) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.fetching && bytes.Contains(b[:n], []byte(stuckArgs{}.Kind())) {
		c.lost.Do(func() {
			n, err = 0, errors.Join(io.ErrUnexpectedEOF, c.Close())
			c.onLoss()
		})
	}
	return n, err
}

// losingOne is a pool beside another, on whose connections one fetch gets lost; the channel says when.
func losingOne(t *testing.T, pool *pgxpool.Pool) (*pgxpool.Pool, <-chan time.Time) {
	t.Helper()
	config := pool.Config()
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec // sends the text of every statement
	var once sync.Once
	when := make(chan time.Time, 1)
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return &lossy{Conn: conn, lost: &once, onLoss: func() { when <- time.Now() }}, err
	}
	losing, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(losing.Close)
	return losing, when
}

// holdResults lets nobody write that a job is completed, until the function it returns.
func holdResults(t *testing.T, pool *pgxpool.Pool) (release func()) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `
		create function hold_results() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
		create trigger hold_results before update on river_job for each row
		when (new.state = 'completed') execute function hold_results()`)
	require.NoError(t, err)
	return func() {
		_, err := pool.Exec(t.Context(), `drop trigger hold_results on river_job`)
		require.NoError(t, err)
	}
}

func stateOf(t *testing.T, pool *pgxpool.Pool, id int64) (state string) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `select state from river_job where id = $1`, id).Scan(&state))
	return state
}

// Promise I11 for jobs that the living have been given and never heard of, with the real times.
func TestAJobWhoseFetchWasLostIsBackWithin15Seconds(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	roster := upkeep.NewRoster()
	worked := make(chan *river.Job[stuckArgs], 10)
	slow := make(chan struct{})
	losing, loss := losingOne(t, pool)
	client, err := newClient(losing, me, 10, func(_ context.Context, job *river.Job[stuckArgs]) error {
		worked <- job
		if job.Args.N == slowJob {
			<-slow
		}
		return nil
	}, roster.Middleware())
	require.NoError(t, err)
	heart, err := upkeep.StartHeart(t.Context(), upkeep.HeartConfig{Pool: pool, ClientID: me})
	require.NoError(t, err)
	t.Cleanup(heart.Close)
	rescuer, err := upkeep.StartRescuer(t.Context(), upkeep.RescuerConfig{
		Pool: pool, ClientID: me, Queues: []string{"cards"}, Roster: roster,
	})
	require.NoError(t, err)
	t.Cleanup(rescuer.Close)

	release := holdResults(t, pool)
	lost := insertStuck(t, client, 1, 3)
	require.NoError(t, client.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.WithoutCancel(t.Context()))) })
	t.Cleanup(func() { close(slow) })
	since := receive(t, loss)
	require.Equal(t, "running", stateOf(t, pool, lost))
	atWork, late := insertStuck(t, client, slowJob, 3), insertStuck(t, client, 2, 3)
	require.ElementsMatch(t, []int64{atWork, late}, []int64{receive(t, worked).ID, receive(t, worked).ID})

	job := receive(t, worked)
	require.Equal(t, lost, job.ID)
	require.Less(t, time.Since(since), 15*time.Second)
	require.Equal(t, 2, job.Attempt)
	require.Contains(t, job.Errors[0].Error, "fetch lost: client "+me)

	require.Equal(t, "running", stateOf(t, pool, atWork))
	require.Equal(t, "running", stateOf(t, pool, late))
	release()
	require.Eventually(t, func() bool { return stateOf(t, pool, late) == "completed" }, 30*time.Second, 50*time.Millisecond)
	require.Empty(t, worked, "nothing else was worked again")
}

// The roster's limits, in the database.
func TestWhatIsGivenBackOfOnesOwn(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	insertHeart(t, pool, "me", 60, 0)
	insertHeart(t, pool, "alive", 60, 0)
	rescuer, err := upkeep.NewRescuer(upkeep.RescuerConfig{
		Pool: pool, ClientID: "me", Queues: []string{"cards"}, Roster: upkeep.NewRoster(),
	})
	require.NoError(t, err)
	lost := insertRunning(t, pool, 1, 3, 9, `{}`, "alive", "me")
	last := insertRunning(t, pool, 3, 3, 9, `{}`, "me")
	kept := []int64{
		insertRunning(t, pool, 1, 3, 7, `{}`, "me"),
		insertRunning(t, pool, 1, 3, 60, `{}`, "me", "alive"),
		insertRunning(t, pool, 1, 3, 60, `{}`),
	}
	fetchedAgain := insertRunning(t, pool, 1, 3, 60, `{}`, "me")
	rescued, err := rescuer.RunOnce(t.Context())
	require.NoError(t, err)
	require.Zero(t, rescued, "one look proves nothing")
	_, err = pool.Exec(t.Context(), `update river_job set attempted_at = now() - interval '10 s' where id = $1`, fetchedAgain)
	require.NoError(t, err)
	rescued, err = rescuer.RunOnce(t.Context())
	require.NoError(t, err)
	require.Equal(t, upkeep.Rescued{Available: 1, Discarded: 1}, rescued)
	require.Equal(t, "available", stateOf(t, pool, lost))
	require.Equal(t, "discarded", stateOf(t, pool, last))
	for _, id := range append(kept, fetchedAgain) {
		require.Equal(t, "running", stateOf(t, pool, id))
	}
}

// After a stall the answer may be on its way.
func TestOnesOwnJobsWaitForASteadyHeart(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	insertHeart(t, pool, "me", 7, 0)
	rescuer, err := upkeep.NewRescuer(upkeep.RescuerConfig{
		Pool: pool, ClientID: "me", Queues: []string{"cards"}, Roster: upkeep.NewRoster(),
	})
	require.NoError(t, err)
	insertRunning(t, pool, 1, 3, 60, `{}`, "me")
	for range 2 * upkeep.LooksUnknown {
		rescued, err := rescuer.RunOnce(t.Context())
		require.NoError(t, err)
		require.Zero(t, rescued)
	}
	_, err = pool.Exec(t.Context(), `update worker_heartbeats set steady_since = now() - interval '9 s'`)
	require.NoError(t, err)
	rescued, err := rescuer.RunOnce(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, rescued.Total())
}
