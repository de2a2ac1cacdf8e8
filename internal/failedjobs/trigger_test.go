package failedjobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/failedjobs"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// River completes jobs in batches, so the trigger must take whatever a row can hold.
func TestTheTriggerIsTotal(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]string{
		"no errors":               `errors = null`,
		"an empty list of errors": `errors = '{}'`,
		"an error that is null":   `errors = array[null]::jsonb[]`,
		"an error that is text":   `errors = array['"x"'::jsonb]`,
		"an error without text":   `errors = array['{"attempt": 1}'::jsonb]`,
		"an error of a megabyte":  `errors = array[jsonb_build_object('error', repeat('x', 1 << 20))]`,
		"an error of wide text":   `errors = array[jsonb_build_object('error', repeat('库', 100000))]`,
		"args that are a list":    `args = '[1]'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			room := failedjobs.New(pool, time.Now)
			id := insertJob(t, pool, "bad", "running", 3, 3)
			_, err := pool.Exec(t.Context(), `update river_job set state = 'discarded', finalized_at = now(), `+set+` where id = $1`, id)
			require.NoError(t, err)
			entries := list(t, room, failedjobs.Filter{})
			require.Len(t, entries, 1)
			require.LessOrEqual(t, len([]rune(entries[0].Error)), 2000)
		})
	}
}

// When the entry cannot be written, the job's own row is none the worse, and the sweep makes up for it.
func TestATriggerThatFailsHoldsNobody(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	ids := make([]int64, 3)
	for i := range ids {
		ids[i] = insertJob(t, pool, "bad", "running", 3, 3)
	}
	_, err := pool.Exec(t.Context(), `alter table failed_jobs add constraint sabotage check (job_id <> 2)`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `update river_job set state = 'discarded', finalized_at = now() where id = any($1)`, ids)
	require.NoError(t, err)
	require.Len(t, list(t, room, failedjobs.Filter{}), 2)

	_, err = pool.Exec(t.Context(), `alter table failed_jobs drop constraint sabotage`)
	require.NoError(t, err)
	swept, err := room.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, failedjobs.Swept{Missed: 1}, swept)
	require.Len(t, list(t, room, failedjobs.Filter{}), 3)
	swept, err = room.Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, swept)
}

func TestSweepLeavesWhatIsClosed(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	entry := failed(t, pool, room)
	require.NoError(t, room.Discard(t.Context(), entry.ID, "operator:ann", "not needed"))
	swept, err := room.Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, swept, "River's row is still there, and its entry is closed")
	require.Len(t, list(t, room, failedjobs.Filter{}), 1)
}

func TestSweepClosesWhatIsAtWork(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	entry := failed(t, pool, room)
	_, err := pool.Exec(t.Context(), `alter table river_job disable trigger failed_jobs_note`)
	require.NoError(t, err)
	setState(t, pool, entry.JobID, "available")
	swept, err := room.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, failedjobs.Swept{Revived: 1}, swept)
	got, done, err := room.Get(t.Context(), entry.ID)
	require.NoError(t, err)
	require.Equal(t, failedjobs.Retried, got.Status)
	require.Equal(t, "sweep", done[0].Actor)
}

func TestListPagesAndFilters(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	_, err := pool.Exec(t.Context(), `
		insert into river_job (kind, queue, args, state, attempt, max_attempts)
		select case when n % 2 = 0 then 'even' else 'odd' end, case when n % 3 = 0 then 'sms' else 'webhooks' end, '{}', 'running', 1, 1
		from generate_series(1, 30) n`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `update river_job set state = 'discarded', finalized_at = now()`)
	require.NoError(t, err)
	for _, tc := range []struct {
		filter failedjobs.Filter
		want   int
	}{
		{failedjobs.Filter{}, 30},
		{failedjobs.Filter{Status: failedjobs.Open}, 30},
		{failedjobs.Filter{Status: failedjobs.Resolved}, 0},
		{failedjobs.Filter{Kind: "even"}, 15},
		{failedjobs.Filter{Kind: "even", Queue: "sms", Status: failedjobs.Open}, 5},
	} {
		seen := map[string]bool{}
		cursor, last := "", strings.Repeat("z", 36)
		for {
			entries, next, err := room.List(t.Context(), tc.filter, cursor, 4)
			require.NoError(t, err)
			for _, e := range entries {
				require.False(t, seen[e.ID.String()])
				require.Less(t, e.ID.String(), last)
				last = e.ID.String()
				seen[last] = true
			}
			if next == "" {
				break
			}
			cursor = next
		}
		require.Len(t, seen, tc.want, "%+v", tc.filter)
	}
	_, _, err = room.List(t.Context(), failedjobs.Filter{}, "x", 4)
	requireCode(t, err, "cursor_invalid")
	counts, err := room.CountOpen(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int{"even": 15, "odd": 15}, counts)
}
