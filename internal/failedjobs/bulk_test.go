package failedjobs_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
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
	room.OnRetry("even", func(_ context.Context, _ pgx.Tx, args [][]byte) ([]*fault.Error, error) {
		refused := make([]*fault.Error, len(args))
		for i := range args {
			if strings.Contains(string(args[i]), " 2}") {
				refused[i] = fault.New(fault.Conflict, "failed_job_superseded")
			}
		}
		return refused, nil
	})

	_, err = room.Bulk(t.Context(), failedjobs.ActionDiscard, failedjobs.Filter{Kind: "odd"}, 10, "operator:ann", "")
	requireCode(t, err, "failed_job_note_missing")
	got, err := room.Bulk(t.Context(), failedjobs.ActionDiscard, failedjobs.Filter{Kind: "odd"}, 10, "operator:ann", "old")
	require.NoError(t, err)
	require.Equal(t, failedjobs.BulkResult{Done: 10, Refused: map[uuid.UUID]*fault.Error{}, More: true}, got)
	got, err = room.Bulk(t.Context(), failedjobs.ActionRetry, failedjobs.Filter{Kind: "even"}, 130, "operator:ann", "")
	require.NoError(t, err)
	require.Equal(t, 129, got.Done)
	require.Len(t, got.Refused, 1, "it held back no other")
	require.False(t, got.More)
	counts, err := room.CountOpen(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int{"even": 1, "odd": 120}, counts)
	got, err = room.Bulk(t.Context(), failedjobs.ActionRetry, failedjobs.Filter{Kind: "none"}, 10, "operator:ann", "")
	require.NoError(t, err)
	require.Equal(t, failedjobs.BulkResult{Refused: map[uuid.UUID]*fault.Error{}}, got)

	var interventions, transactions int
	require.NoError(t, pool.QueryRow(t.Context(), `
		select count(*), count(distinct i.xmin::text) from failed_job_interventions i join failed_jobs f on f.id = i.failed_job_id
		where f.kind = 'even' and i.action = 'retry' and i.actor = 'operator:ann' and i.job_id = f.job_id and f.status = 'retried'`).
		Scan(&interventions, &transactions))
	require.Equal(t, []int{129, 1}, []int{interventions, transactions}, "each is on record, and all were one transaction")
}

// A set of many has the same results as many sets of one.
func TestBulkActsOnEachAsOnOne(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	entries := make([]failedjobs.Entry, 7)
	for i := range entries {
		entries[i] = failed(t, pool, room)
	}
	plain, cleaned, superseded, older, newer, alsoPlain := entries[0], entries[1], entries[2], entries[3], entries[4], entries[5]
	run := func(sql string, args ...any) {
		_, err := pool.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	run(`delete from river_job where id = $1`, cleaned.JobID)
	run(`update river_job set metadata = metadata || '{"cancel_attempted_at": "x"}' where id = $1`, alsoPlain.JobID)
	unique := `update river_job set unique_key = $1, unique_states = 245::bit(8) where id = any($2)`
	run(unique, []byte("a"), []int64{superseded.JobID, insertJob(t, pool, "bad", "available", 0, 3)})
	run(unique, []byte("b"), []int64{older.JobID, newer.JobID})

	got, err := room.Bulk(t.Context(), failedjobs.ActionRetry, failedjobs.Filter{}, 6, "operator:ann", " gateway is back ")
	require.NoError(t, err)
	require.True(t, got.More)
	require.Equal(t, 4, got.Done)
	require.Len(t, got.Refused, 2)
	requireCode(t, got.Refused[superseded.ID], "failed_job_superseded")
	requireCode(t, got.Refused[older.ID], "failed_job_superseded")
	for _, entry := range entries {
		now, done, err := room.Get(t.Context(), entry.ID)
		require.NoError(t, err)
		if entry.ID == entries[0].ID || got.Refused[entry.ID] != nil {
			require.Equal(t, failedjobs.Open, now.Status)
			require.Empty(t, done)
			require.Equal(t, "discarded", stateOf(t, pool, entry.JobID))
			continue
		}
		require.Equal(t, failedjobs.Retried, now.Status)
		require.Len(t, done, 1)
		require.Equal(t, []string{"retry", "operator:ann", "gateway is back"}, []string{done[0].Action, done[0].Actor, done[0].Note})
		require.Equal(t, entry.ID == cleaned.ID, *done[0].JobID != entry.JobID)
		var works bool
		require.NoError(t, pool.QueryRow(t.Context(), `
			select state = 'available' and attempt = 0 and max_attempts = 3 and kind = 'bad' and queue = 'webhooks' and args = '{"id": "x"}'
				and metadata = '{"traceparent": "tp"}'
			from river_job where id = $1`, done[0].JobID).Scan(&works))
		require.True(t, works)
	}
	require.Equal(t, "discarded", stateOf(t, pool, plain.JobID), "the oldest is beyond the limit")
}

// Sets that overlap wait for each other; each entry is one caller's.
func TestOverlappingBulksShareTheEntries(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	const n = 60
	_, err := pool.Exec(t.Context(), `
		insert into river_job (kind, queue, args, state, attempt, max_attempts)
		select 'bad', 'webhooks', '{}', 'running', 1, 1 from generate_series(1, $1::int)`, n)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `update river_job set state = 'discarded', finalized_at = now()`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `delete from river_job where id % 3 = 0`)
	require.NoError(t, err)
	all := list(t, room, failedjobs.Filter{})

	var done atomic.Int64
	var calls sync.WaitGroup
	for i, action := range []failedjobs.Action{
		failedjobs.ActionRetry, failedjobs.ActionDiscard, failedjobs.ActionRetry, failedjobs.ActionResolve,
	} {
		calls.Go(func() {
			got, err := room.Bulk(t.Context(), action, failedjobs.Filter{}, n-10*i, "operator:ann", "why")
			if err != nil {
				t.Error(err)
			}
			for _, refused := range got.Refused {
				if refused.Code != "failed_job_closed" {
					t.Error(refused)
				}
			}
			done.Add(int64(got.Done))
		})
		calls.Go(func() {
			switch err := room.Resolve(t.Context(), all[i].ID, "operator:bob", "by hand"); {
			case err == nil:
				done.Add(1)
			case !fault.HasCode(err, "failed_job_closed"):
				t.Error(err)
			}
		})
	}
	calls.Wait()
	require.EqualValues(t, n, done.Load())
	var once int
	require.NoError(t, pool.QueryRow(t.Context(), `
		select count(*) from failed_jobs f
		where f.status <> 'open' and (select count(*) from failed_job_interventions i where i.failed_job_id = f.id) = 1`).Scan(&once))
	require.Equal(t, n, once)
}
