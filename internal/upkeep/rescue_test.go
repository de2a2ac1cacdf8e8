package upkeep_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/failedjobs"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/upkeep"
)

// heart is a client's heartbeat, in seconds.
type heart struct {
	client               string
	steadyFor, silentFor float64
}

// insertHeart writes a client's heartbeat: the seconds since it became steady, and since its last beat.
func insertHeart(t *testing.T, pool *pgxpool.Pool, clientID string, steadyFor, silentFor float64) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `insert into worker_heartbeats (client_id, steady_since, beat_at)
		values ($1, now() - make_interval(secs => $2), now() - make_interval(secs => $3))`, clientID, steadyFor, silentFor)
	require.NoError(t, err)
}

// insertRunning makes a job that clients have attempted, the last one some seconds ago.
func insertRunning(t *testing.T, pool *pgxpool.Pool, attempt, maxAttempts int, ago float64, metadata string, attemptedBy ...string) int64 {
	t.Helper()
	var id int64
	require.NoError(t, pool.QueryRow(t.Context(), `
		insert into river_job (kind, queue, args, state, attempt, max_attempts, attempted_at, attempted_by, metadata)
		values ('deliver_order', 'cards', '{}', 'running', $1, $2, now() - make_interval(secs => $3), $4, $5)
		returning id`, attempt, maxAttempts, ago, attemptedBy, metadata).Scan(&id))
	return id
}

func rescuer(t *testing.T, pool *pgxpool.Pool) *upkeep.Rescuer {
	t.Helper()
	r, err := upkeep.NewRescuer(upkeep.RescuerConfig{Pool: pool, ClientID: "me", Queues: []string{"cards"}})
	require.NoError(t, err)
	return r
}

func TestWhoIsRescued(t *testing.T) {
	t.Parallel()
	const long = 3600
	for name, tc := range map[string]struct {
		heart heart
		ago   float64
		by    []string
		set   string
		want  bool
	}{
		"killed": {
			heart: heart{"other", long, 8.5},
			ago:   20, by: []string{"other"}, want: true,
		},
		"killed, and its heartbeat forgotten in a crash of Postgres": {ago: 20, by: []string{"other"}, want: true},
		"one's own, without a roster":                                {ago: long, by: []string{"me"}},
		"at its second attempt, the first worker lives": {
			heart: heart{"alive", long, 1},
			ago:   20, by: []string{"alive", "other"}, want: true,
		},
		"a slow worker that lives": {
			heart: heart{"other", long, 7},
			ago:   long, by: []string{"other"},
		},
		"just fetched":         {ago: 7, by: []string{"other"}},
		"fetched by nobody":    {ago: 20},
		"another queue":        {ago: 20, by: []string{"other"}, set: `queue = 'theirs'`},
		"not running":          {ago: 20, by: []string{"other"}, set: `state = 'retryable'`},
		"done in the meantime": {ago: 20, by: []string{"other"}, set: `state = 'completed', finalized_at = now()`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			insertHeart(t, pool, "me", 60, 0)
			if tc.heart.client != "" {
				insertHeart(t, pool, tc.heart.client, tc.heart.steadyFor, tc.heart.silentFor)
			}
			id := insertRunning(t, pool, 1, 3, tc.ago, `{}`, tc.by...)
			if tc.set != "" {
				_, err := pool.Exec(t.Context(), `update river_job set `+tc.set+` where id = $1`, id)
				require.NoError(t, err)
			}
			var before, after string
			require.NoError(t, pool.QueryRow(t.Context(), `select state from river_job where id = $1`, id).Scan(&before))
			rescued, err := rescuer(t, pool).RunOnce(t.Context())
			require.NoError(t, err)
			require.NoError(t, pool.QueryRow(t.Context(), `select state from river_job where id = $1`, id).Scan(&after))
			if tc.want {
				require.Equal(t, upkeep.Rescued{Available: 1}, rescued)
				require.Equal(t, "available", after)
			} else {
				require.Zero(t, rescued)
				require.Equal(t, before, after)
			}
		})
	}
}

// Whoever has not been steady for long enough cannot tell the dead from those who have had no chance to beat.
func TestWhoMayJudge(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		heart heart
		want  int
	}{
		"steady":                      {heart{"me", 9, 1}, 1},
		"no heart":                    {heart{"another", 60, 0}, 0},
		"steady for too short a time": {heart{"me", 7, 1}, 0},
		"silent for a while":          {heart{"me", 60, 5}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			insertHeart(t, pool, tc.heart.client, tc.heart.steadyFor, tc.heart.silentFor)
			insertRunning(t, pool, 1, 3, 20, `{}`, "other")
			rescued, err := rescuer(t, pool).RunOnce(t.Context())
			require.NoError(t, err)
			require.Equal(t, upkeep.Rescued{Available: tc.want}, rescued)
		})
	}
}

func TestRescuedJobsGoOn(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	insertHeart(t, pool, "me", 60, 0)
	again := insertRunning(t, pool, 2, 3, 20, `{}`, "other")
	last := insertRunning(t, pool, 3, 3, 20, `{}`, "other")
	canceled := insertRunning(t, pool, 1, 3, 20, `{"cancel_attempted_at": "2026-01-02T03:04:05Z"}`, "other")
	rescued, err := rescuer(t, pool).RunOnce(t.Context())
	require.NoError(t, err)
	require.Equal(t, upkeep.Rescued{Available: 1, Discarded: 1, Cancelled: 1}, rescued)
	require.Equal(t, 3, rescued.Total())

	type row struct {
		state   string
		attempt int
		ended   bool
		errors  string
	}
	get := func(id int64) (r row) {
		t.Helper()
		require.NoError(t, pool.QueryRow(t.Context(), `select state, attempt, finalized_at is not null, errors[1] ->> 'error'
			from river_job where id = $1`, id).Scan(&r.state, &r.attempt, &r.ended, &r.errors))
		return r
	}
	const why = "worker process lost: client other has no heartbeat any more"
	require.Equal(t, row{"available", 2, false, why}, get(again))
	require.Equal(t, row{"discarded", 3, true, why}, get(last))
	require.Equal(t, row{"cancelled", 1, true, why}, get(canceled))

	entries, _, err := failedjobs.New(pool, time.Now).List(t.Context(), failedjobs.Filter{}, "", 10)
	require.NoError(t, err)
	require.Len(t, entries, 2, "the trigger has seen those that ended")
	rescued, err = rescuer(t, pool).RunOnce(t.Context())
	require.NoError(t, err)
	require.Zero(t, rescued)
}

func TestRescueOfMany(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	insertHeart(t, pool, "me", 60, 0)
	_, err := pool.Exec(t.Context(), `
		insert into river_job (kind, queue, args, state, attempt, max_attempts, attempted_at, attempted_by)
		select 'deliver_order', 'cards', '{}', 'running', 1, 3, now() - interval '1 minute', array['other']
		from generate_series(1, 2500)`)
	require.NoError(t, err)
	rescued, err := rescuer(t, pool).RunOnce(t.Context())
	require.NoError(t, err)
	require.Equal(t, upkeep.Rescued{Available: 2500}, rescued)
}

func TestRescuersTakeTurns(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	insertHeart(t, pool, "me", 60, 0)
	insertRunning(t, pool, 1, 3, 20, `{}`, "other")
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `select pg_advisory_xact_lock(hashtext(current_schema() || '.upkeep_rescue'))`)
	require.NoError(t, err)
	rescued, err := rescuer(t, pool).RunOnce(t.Context())
	require.NoError(t, err)
	require.Zero(t, rescued, "somebody else is at it")
	require.NoError(t, tx.Rollback(t.Context()))
	rescued, err = rescuer(t, pool).RunOnce(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, rescued.Total())
}

func TestRescuerConfig(t *testing.T) {
	t.Parallel()
	_, err := upkeep.StartRescuer(t.Context(), upkeep.RescuerConfig{ClientID: "me"})
	require.ErrorContains(t, err, "Queues")
	_, err = upkeep.StartHeart(t.Context(), upkeep.HeartConfig{})
	require.ErrorContains(t, err, "ClientID")
}
