package failedjobs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/failedjobs"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
)

type badArgs struct {
	ID string `json:"id"`
}

func (badArgs) Kind() string { return "bad" }

type badWorker struct {
	river.WorkerDefaults[badArgs]

	work func(*river.Job[badArgs]) error
}

func (w *badWorker) Work(_ context.Context, job *river.Job[badArgs]) error { return w.work(job) }

func (w *badWorker) NextRetry(*river.Job[badArgs]) time.Time { return time.Now() }

// startRiver works until the test ends. The clients of parallel tests have a database each, so each leads its own.
func startRiver(t *testing.T, pool *pgxpool.Pool, work func(*river.Job[badArgs]) error) *river.Client[pgx.Tx] {
	t.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, &badWorker{work: work})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Schema: pgdb.DefaultSchema, Workers: workers, Queues: map[string]river.QueueConfig{"webhooks": {MaxWorkers: 4}},
		FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond, TestOnly: true,
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(t.Context()))
	t.Cleanup(func() { _ = client.StopAndCancel(context.WithoutCancel(t.Context())) })
	return client
}

// insertJob inserts a job in any state, as River would have left it.
func insertJob(t *testing.T, pool *pgxpool.Pool, kind, state string, attempt, maxAttempts int) int64 {
	t.Helper()
	var id int64
	require.NoError(t, pool.QueryRow(t.Context(), `
		insert into river_job (kind, queue, args, metadata, state, attempt, max_attempts, attempted_at)
		values ($1, 'webhooks', '{"id": "x"}', '{"traceparent": "tp"}', $2::text::river_job_state, $3, $4, now() - interval '3 hours')
		returning id`, kind, state, attempt, maxAttempts).Scan(&id))
	return id
}

func setState(t *testing.T, pool *pgxpool.Pool, id int64, state string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `
		update river_job set state = $2::text::river_job_state,
			finalized_at = case when $2 in ('discarded', 'cancelled', 'completed') then clock_timestamp() end
		where id = $1`, id, state)
	require.NoError(t, err)
}

// failed makes a job that has ended badly and gives its entry.
func failed(t *testing.T, pool *pgxpool.Pool, room *failedjobs.Room) failedjobs.Entry {
	t.Helper()
	id := insertJob(t, pool, "bad", "running", 3, 3)
	setState(t, pool, id, "discarded")
	entries := list(t, room, failedjobs.Filter{Status: failedjobs.Open})
	require.Equal(t, id, entries[0].JobID)
	return entries[0]
}

func list(t *testing.T, room *failedjobs.Room, filter failedjobs.Filter) []failedjobs.Entry {
	t.Helper()
	entries, _, err := room.List(t.Context(), filter, "", 100)
	require.NoError(t, err)
	return entries
}

func requireCode(t *testing.T, err error, code string) {
	t.Helper()
	require.True(t, fault.HasCode(err, code), "want %s, got %v", code, err)
}

func stateOf(t *testing.T, pool *pgxpool.Pool, id int64) string {
	t.Helper()
	var state string
	require.NoError(t, pool.QueryRow(t.Context(), `select state::text from river_job where id = $1`, id).Scan(&state))
	return state
}

func fails(err error) func(*river.Job[badArgs]) error {
	return func(*river.Job[badArgs]) error { return err }
}

// Every way in which a job can end badly leaves exactly one entry, through a real client.
func TestEveryBadEndLeavesOneEntry(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kind    string
		work    func(*river.Job[badArgs]) error
		stuck   bool // its process was killed at the last attempt
		state   string
		attempt int
		err     string
	}{
		"an error at the last attempt":              {"bad", fails(errors.New("no luck")), false, "discarded", 2, "no luck"},
		"a panic at the last attempt":               {"bad", func(*river.Job[badArgs]) error { panic("oh no") }, false, "discarded", 2, "oh no"},
		"given up by its worker":                    {"bad", fails(river.JobCancel(errors.New("useless"))), false, "cancelled", 1, "useless"},
		"a kind nobody knows":                       {"unheard_of", nil, false, "discarded", 2, "unheard_of"},
		"a killed process":                          {"bad", nil, true, "discarded", 2, ""},
		"a killed process, and a kind nobody knows": {"unheard_of", nil, true, "discarded", 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			room := failedjobs.New(pool, time.Now)
			state, attempt := "available", 0
			if tc.stuck {
				state, attempt = "running", 2
			}
			id := insertJob(t, pool, tc.kind, state, attempt, 2)
			startRiver(t, pool, tc.work)

			var entries []failedjobs.Entry
			require.Eventually(t, func() bool {
				entries = list(t, room, failedjobs.Filter{})
				return len(entries) > 0
			}, 20*time.Second, 10*time.Millisecond)
			require.Len(t, entries, 1)
			e := entries[0]
			require.Equal(t, id, e.JobID)
			require.Equal(t, tc.kind, e.Kind)
			require.Equal(t, "webhooks", e.Queue)
			require.Equal(t, tc.state, e.State)
			require.Equal(t, tc.attempt, e.Attempt)
			require.Equal(t, 2, e.MaxAttempts)
			require.Contains(t, e.Error, tc.err)
			require.Equal(t, failedjobs.Open, e.Status)
			require.JSONEq(t, `{"id": "x"}`, string(e.Args))
			require.Contains(t, string(e.Metadata), `"traceparent": "tp"`)

			swept, err := room.Sweep(t.Context())
			require.NoError(t, err)
			require.Zero(t, swept)
		})
	}
}

// The whole circle through a real client: fails, is retried with all its attempts, fails again, is retried, succeeds.
func TestRetryRunsWithAllAttempts(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	var works atomic.Bool
	var runs atomic.Int64
	startRiver(t, pool, func(*river.Job[badArgs]) error {
		runs.Add(1)
		if works.Load() {
			return nil
		}
		return errors.New("not yet")
	})
	id := insertJob(t, pool, "bad", "available", 0, 3)
	open := func() []failedjobs.Entry { return list(t, room, failedjobs.Filter{Status: failedjobs.Open}) }
	require.Eventually(t, func() bool { return len(open()) == 1 }, 20*time.Second, 10*time.Millisecond)
	require.EqualValues(t, 3, runs.Load())

	first := open()[0]
	jobID, err := room.Retry(t.Context(), first.ID, "operator:ann", "endpoint is back")
	require.NoError(t, err)
	require.Equal(t, id, jobID)
	require.Eventually(t, func() bool { e := open(); return len(e) == 1 && e[0].ID != first.ID }, 20*time.Second, 10*time.Millisecond)
	require.EqualValues(t, 6, runs.Load(), "it had all its attempts again")

	works.Store(true)
	_, err = room.Retry(t.Context(), open()[0].ID, "operator:ann", "")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return stateOf(t, pool, id) == "completed" }, 20*time.Second, 10*time.Millisecond)
	require.Len(t, list(t, room, failedjobs.Filter{Status: failedjobs.Retried}), 2)

	entry, done, err := room.Get(t.Context(), first.ID)
	require.NoError(t, err)
	require.Equal(t, failedjobs.Retried, entry.Status)
	require.NotNil(t, entry.ClosedAt)
	require.Len(t, done, 1, "the trigger does not record a retry of ours a second time")
	require.Equal(t, "operator:ann", done[0].Actor)
	require.Equal(t, "endpoint is back", done[0].Note)
	require.Equal(t, &id, done[0].JobID)
}

func TestRetryAfterRiverHasCleaned(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	entry := failed(t, pool, room)
	_, err := pool.Exec(t.Context(), `delete from river_job`)
	require.NoError(t, err)

	jobID, err := room.Retry(t.Context(), entry.ID, "operator:ann", "")
	require.NoError(t, err)
	require.NotEqual(t, entry.JobID, jobID)
	var kind, queue, args, metadata, state string
	var attempt, maxAttempts int
	require.NoError(t, pool.QueryRow(t.Context(), `
		select kind, queue, args::text, metadata::text, state::text, attempt, max_attempts from river_job where id = $1`, jobID).
		Scan(&kind, &queue, &args, &metadata, &state, &attempt, &maxAttempts))
	require.Equal(t, []any{"bad", "webhooks", `{"id": "x"}`, `{"traceparent": "tp"}`, "available", 0, 3},
		[]any{kind, queue, args, metadata, state, attempt, maxAttempts})
}

// A cancellation that was asked for once must not cancel what a person sets to work again.
func TestRetryOfACancelledJob(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	id := insertJob(t, pool, "bad", "running", 1, 3)
	_, err := pool.Exec(t.Context(), `
		update river_job set state = 'cancelled', finalized_at = now(), metadata = metadata || '{"cancel_attempted_at": "x", "snoozes": 4}'
		where id = $1`, id)
	require.NoError(t, err)
	entry := list(t, room, failedjobs.Filter{})[0]
	require.Equal(t, "cancelled", entry.State)
	_, err = room.Retry(t.Context(), entry.ID, "operator:ann", "")
	require.NoError(t, err)
	var metadata string
	require.NoError(t, pool.QueryRow(t.Context(), `select metadata::text from river_job where id = $1`, id).Scan(&metadata))
	require.JSONEq(t, `{"traceparent": "tp"}`, metadata)
}

func TestRetryWhileAnotherDoesTheSameWork(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	entry := failed(t, pool, room)
	twin := insertJob(t, pool, "bad", "available", 0, 3)
	_, err := pool.Exec(t.Context(), `
		update river_job set unique_key = 'k', unique_states = 245::bit(8) where id in ($1, $2)`, twin, entry.JobID)
	require.NoError(t, err)

	_, err = room.Retry(t.Context(), entry.ID, "operator:ann", "")
	requireCode(t, err, "failed_job_superseded")
	got, done, err := room.Get(t.Context(), entry.ID)
	require.NoError(t, err)
	require.Equal(t, failedjobs.Open, got.Status, "nothing happened")
	require.Empty(t, done)
}

func TestRetryHook(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	entry := failed(t, pool, room)
	var seen [][]byte
	broken, refusal := errors.New("no luck"), fault.New(fault.Conflict, "not_now")
	room.OnRetry("bad", func(_ context.Context, tx pgx.Tx, args [][]byte) ([]*fault.Error, error) {
		seen = args
		return []*fault.Error{refusal}, broken
	})
	_, err := room.Retry(t.Context(), entry.ID, "operator:ann", "")
	require.ErrorIs(t, err, broken)
	require.Equal(t, [][]byte{[]byte(`{"id": "x"}`)}, seen)
	broken = nil
	_, err = room.Retry(t.Context(), entry.ID, "operator:ann", "")
	requireCode(t, err, "not_now")
	require.Equal(t, "discarded", stateOf(t, pool, entry.JobID), "what the hook refuses stays as it is")
	refusal = nil
	_, err = room.Retry(t.Context(), entry.ID, "operator:ann", "")
	require.NoError(t, err)
	require.Panics(t, func() { room.OnRetry("bad", nil) })
}

func TestClosingWithANote(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	for status, act := range map[failedjobs.Status]func(context.Context, uuid.UUID, string, string) error{
		failedjobs.Resolved: room.Resolve, failedjobs.Discarded: room.Discard,
	} {
		entry := failed(t, pool, room)
		requireCode(t, act(t.Context(), entry.ID, "operator:ann", " "), "failed_job_note_missing")
		requireCode(t, act(t.Context(), entry.ID, "operator:ann", strings.Repeat("x", 2001)), "failed_job_note_invalid")
		requireCode(t, act(t.Context(), entry.ID, "operator:ann", "\xff"), "failed_job_note_invalid")
		require.NoError(t, act(t.Context(), entry.ID, "operator:ann", "by hand"))
		got, done, err := room.Get(t.Context(), entry.ID)
		require.NoError(t, err)
		require.Equal(t, status, got.Status)
		require.Len(t, done, 1)
		require.Nil(t, done[0].JobID)
		require.Equal(t, "discarded", stateOf(t, pool, entry.JobID), "River's row stays as it was")

		requireCode(t, act(t.Context(), entry.ID, "operator:bob", "too"), "failed_job_closed")
		_, err = room.Retry(t.Context(), entry.ID, "operator:bob", "")
		requireCode(t, err, "failed_job_closed")
	}
	unknown := uuid.Must(uuid.NewV7())
	requireCode(t, room.Resolve(t.Context(), unknown, "a", "x"), "failed_job_not_found")
	_, _, err := room.Get(t.Context(), unknown)
	requireCode(t, err, "failed_job_not_found")
}

func TestOfSeveralAtOnceOneWins(t *testing.T) {
	t.Parallel()
	for _, cleaned := range []bool{false, true} {
		t.Run(fmt.Sprint("cleaned=", cleaned), func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			room := failedjobs.New(pool, time.Now)
			entry := failed(t, pool, room)
			if cleaned {
				_, err := pool.Exec(t.Context(), `delete from river_job`)
				require.NoError(t, err)
			}
			var won, lost atomic.Int64
			var all sync.WaitGroup
			for i := range 12 {
				all.Go(func() {
					var err error
					if i%2 == 0 {
						_, err = room.Retry(t.Context(), entry.ID, fmt.Sprint("operator:", i), "")
					} else {
						err = room.Resolve(t.Context(), entry.ID, fmt.Sprint("operator:", i), "by hand")
					}
					switch {
					case err == nil:
						won.Add(1)
					case fault.HasCode(err, "failed_job_closed"):
						lost.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			all.Wait()
			require.EqualValues(t, 1, won.Load())
			require.EqualValues(t, 11, lost.Load())
			_, done, err := room.Get(t.Context(), entry.ID)
			require.NoError(t, err)
			require.Len(t, done, 1)
			var jobs int
			require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from river_job`).Scan(&jobs))
			require.LessOrEqual(t, jobs, 1)
		})
	}
}

// Somebody who retries with River's own interface closes the entry as well, and that is on record.
func TestARetryThatIsNotOurs(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	client := startRiver(t, pool, func(*river.Job[badArgs]) error { return nil })
	entry := failed(t, pool, room)
	_, err := client.JobRetry(t.Context(), entry.JobID)
	require.NoError(t, err)
	got, done, err := room.Get(t.Context(), entry.ID)
	require.NoError(t, err)
	require.Equal(t, failedjobs.Retried, got.Status)
	require.Len(t, done, 1)
	require.Regexp(t, `^database:.+`, done[0].Actor)
}

func TestInterventionsAreAppendOnly(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	entry := failed(t, pool, room)
	require.NoError(t, room.Resolve(t.Context(), entry.ID, "operator:ann", "by hand"))
	_, err := pool.Exec(t.Context(), `update failed_job_interventions set note = 'other'`)
	require.ErrorContains(t, err, "not rewritten")
}
