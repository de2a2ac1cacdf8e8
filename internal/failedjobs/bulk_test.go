package failedjobs_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/failedjobs"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/pgtest"
)

func TestBulk(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	_, err := pool.Exec(t.Context(), `
		insert into river_job (kind, queue, args, state, attempt, max_attempts)
		select case when n % 2 = 0 then 'even' else 'odd' end, 'sms', jsonb_build_object('n', n), 'running', 1, 1
		from generate_series(1, 260) n;
		update river_job set state = 'discarded', finalized_at = now()`)
	require.NoError(t, err)
	room.OnRetry("even", func(_ context.Context, _ pgx.Tx, _ string, args []byte) error {
		if strings.Contains(string(args), " 2}") {
			return fault.New(fault.Conflict, "failed_job_superseded")
		}
		return nil
	})

	_, err = room.Bulk(t.Context(), failedjobs.ActionDiscard, failedjobs.Filter{Kind: "odd"}, 10, "operator:ann", "")
	requireCode(t, err, "failed_job_note_missing")
	got, err := room.Bulk(t.Context(), failedjobs.ActionDiscard, failedjobs.Filter{Kind: "odd"}, 10, "operator:ann", "old")
	require.NoError(t, err)
	require.Equal(t, 10, got.Done)
	require.True(t, got.More)
	got, err = room.Bulk(t.Context(), failedjobs.ActionRetry, failedjobs.Filter{Kind: "even"}, 500, "operator:ann", "")
	require.NoError(t, err)
	require.Equal(t, 129, got.Done)
	require.Len(t, got.Refused, 1, "it held back no other")
	require.False(t, got.More)
	counts, err := room.CountOpen(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int{"even": 1, "odd": 120}, counts)
}
