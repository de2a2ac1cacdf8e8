package upkeep_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/upkeep"
)

func TestHeart(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	var connections []*dbq.Queries // a heart does not need the pool: all of it is taken
	for range pool.Config().MaxConns - 1 {
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
		connections = append(connections, dbq.New(conn))
	}
	require.NotEmpty(t, connections)
	last, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer last.Release()

	heart, err := upkeep.StartHeart(t.Context(), upkeep.HeartConfig{Pool: pool, ClientID: "me"})
	require.NoError(t, err)
	beat := func() (at time.Time) {
		require.NoError(t, last.QueryRow(t.Context(), `select beat_at from worker_heartbeats where client_id = 'me'`).Scan(&at))
		return at
	}
	first := beat()
	// Its connection is cut; it goes on with another one.
	_, err = last.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
		where datname = current_database() and query like '%UpkeepBeat%' and pid <> pg_backend_pid()`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return beat().After(first) }, 20*time.Second, 50*time.Millisecond)

	heart.Close()
	var left int
	require.NoError(t, last.QueryRow(t.Context(), `select count(*) from worker_heartbeats`).Scan(&left))
	require.Zero(t, left, "a clean stop leaves nothing to be rescued")
}

func TestSilenceEndsSteadiness(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	insertHeart(t, pool, "short", 60, 3)
	insertHeart(t, pool, "long", 60, 5)
	for _, id := range []string{"short", "long"} {
		require.NoError(t, dbq.New(pool).UpkeepBeat(t.Context(), dbq.UpkeepBeatParams{ClientID: id, Silence: 4 * time.Second}))
	}
	rows := map[string]bool{}
	for _, id := range []string{"short", "long"} {
		var steady bool
		require.NoError(t, pool.QueryRow(t.Context(), `select steady_since < now() - interval '30 s' and beat_at > now() - interval '30 s'
			from worker_heartbeats where client_id = $1`, id).Scan(&steady))
		rows[id] = steady
	}
	require.Equal(t, map[string]bool{"short": true, "long": false}, rows)
}
