package upkeep_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/failedjobs"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/upkeep"
	"github.com/vendbox/vendbox/internal/webhooks"
)

type bundle struct {
	pool *pgxpool.Pool
	room *upkeep.Upkeep
}

// setup makes the room with a clock that runs ahead of the database's by some days.
func setup(t *testing.T, daysAhead int, more ...upkeep.Task) bundle {
	t.Helper()
	pool := pgtest.New(t)
	now := func() time.Time { return time.Now().AddDate(0, 0, daysAhead) }
	vault, err := cardvault.Open(t.Context(), pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	box := outbox.NewBox(pool, now, nil)
	jobs, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: pgdb.DefaultSchema})
	require.NoError(t, err)
	hooks, err := webhooks.NewService(webhooks.Config{}, webhooks.Deps{Pool: pool, Box: box, Vault: vault, Jobs: jobs, Now: now})
	require.NoError(t, err)
	t.Cleanup(hooks.Close)
	room, err := upkeep.New(upkeep.Config{
		Pool: pool, Box: box, Inventory: inventory.NewService(pool, vault, box, now), FailedJobs: failedjobs.New(pool, now),
		Webhooks: hooks, Now: now, More: more, Retention: 30 * 24 * time.Hour,
	})
	require.NoError(t, err)
	return bundle{pool, room}
}

// run runs one task.
func (b bundle) run(t *testing.T, name string) string {
	t.Helper()
	for _, task := range b.room.Tasks() {
		if task.Name == name {
			did, err := task.Run(t.Context())
			require.NoError(t, err)
			return did
		}
	}
	require.FailNow(t, "no task "+name)
	return ""
}

func (b bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (b bundle) partitions(t *testing.T) []string {
	t.Helper()
	var names []string
	require.NoError(t, b.pool.QueryRow(t.Context(), `
		select array_agg(inhrelid::regclass::text order by inhrelid::regclass::text collate "C") from pg_inherits
		where inhparent = 'outbox'::regclass`).Scan(&names))
	return names
}

func TestPartitionsAreMadeAndDropped(t *testing.T) {
	t.Parallel()
	b := setup(t, 40)
	old := b.partitions(t)
	require.Contains(t, b.run(t, "make_partitions"), "partitions made")
	require.Empty(t, b.run(t, "make_partitions"), "a second time there is nothing to do")
	require.Len(t, b.partitions(t), len(old)+9, "yesterday to a week ahead, by the room's clock")

	day := func(name string) string { return strings.TrimPrefix(name, "outbox_") }
	endpoint, delivery := uuid.New(), uuid.New()
	b.exec(t, `insert into webhook_endpoints (id, url, event_types) values ($1, 'https://example.com', '{*}')`, endpoint)
	b.exec(t, `insert into webhook_deliveries (id, event_id, event_occurred_at, event_type, endpoint_id, next_attempt_at)
		values ($1, gen_random_uuid(), ($3 || ' 23:59:59+00')::timestamptz, 'order.paid', $2, now())`, delivery, endpoint, day(old[0]))
	b.exec(t, `insert into sms_messages (id, event_id, event_occurred_at, event_type, template_id, order_id, recipient_fingerprint,
			recipient_masked, locale, created_at, opened_at)
		select id, gen_random_uuid(), ($1 || ' 00:00:00+00')::timestamptz, 'order.paid', id, gen_random_uuid(),
			decode(repeat('00', 16), 'hex'), '+86****', 'en', now(), now()
		from gen_random_uuid() as id`, day(old[1]))
	b.exec(t, `insert into river_job (kind, queue, args, max_attempts, state)
		values ('relay', 'relay', jsonb_build_object('day', to_date($1, 'YYYYMMDD')::text), 25, 'retryable')`, day(old[2]))
	b.exec(t, `insert into failed_jobs (job_id, kind, queue, args, metadata, state, attempt, max_attempts, failed_at)
		values (1, 'relay', 'relay', jsonb_build_object('day', to_date($1, 'YYYYMMDD')::text), '{}', 'discarded', 25, 25, now())`, day(old[3]))
	require.Equal(t, "outbox_default", old[len(old)-1])

	require.Contains(t, b.run(t, "drop_partitions"), "partitions dropped")
	kept := b.partitions(t)
	require.Subset(t, kept, append(old[:4:4], "outbox_default"), "the days that are needed, and the default")
	require.NotSubset(t, kept, old[4:5])
	require.Len(t, kept, 4+9+1)

	b.exec(t, `update webhook_deliveries set status = 'succeeded', finished_at = now(), next_attempt_at = null`)
	require.Equal(t, "1 partitions dropped", b.run(t, "drop_partitions"))
	require.NotContains(t, b.partitions(t), old[0])
}

func TestPartitionsOfTheRetentionStay(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	before := b.partitions(t)
	require.Empty(t, b.run(t, "drop_partitions"))
	require.Equal(t, before, b.partitions(t))
}

// Everybody who places an order would queue behind a drop that waits for a reader.
func TestADropDoesNotWaitLong(t *testing.T) {
	t.Parallel()
	b := setup(t, 40)
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	_, err = tx.Exec(t.Context(), `select count(*) from outbox`)
	require.NoError(t, err)
	for _, task := range b.room.Tasks() {
		if task.Name == "drop_partitions" {
			_, err = task.Run(t.Context())
		}
	}
	require.True(t, pgdb.IsLockTimeout(err), "%v", err)
}

func TestAnalyzeWhatHasGrown(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	require.Empty(t, b.run(t, "analyze_grown"))
	b.exec(t, `insert into outbox (id, aggregatetype, aggregateid, type, payload, epoch, occurred_at)
		select gen_random_uuid(), 'thing', n::text, 'thing.made', jsonb_build_object('n', repeat('x', 500)), 1, now()
		from generate_series(1, 1000) n`)
	require.NotEmpty(t, b.run(t, "analyze_grown"))
	require.Empty(t, b.run(t, "analyze_grown"), "not again before it has grown again")
}

func TestTheOtherTasks(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	for _, task := range b.room.Tasks() {
		did, err := task.Run(t.Context())
		require.NoError(t, err, task.Name)
		require.Empty(t, did, "%s: a fresh database needs nothing", task.Name)
	}
	insertHeart(t, b.pool, "long ago", 200_000, 100_000)
	insertHeart(t, b.pool, "now", 10, 0)
	require.Equal(t, "1 heartbeats of long ago forgotten", b.run(t, "forget_heartbeats"))

	b.exec(t, `alter table river_job disable trigger failed_jobs_note`)
	b.exec(t, `insert into river_job (kind, queue, args, max_attempts, attempt, state, finalized_at)
		values ('x', 'x', '{}', 1, 1, 'discarded', now())`)
	require.Contains(t, b.run(t, "sweep_failed_jobs"), "not noted: 1")

	product := uuid.New()
	b.exec(t, `insert into products (id, sku, name, kind, price_amount, price_currency) values ($1, 'a', 'A', 'card', 1, 'CNY')`, product)
	b.exec(t, `insert into card_imports (id, product_id, status, format, actor, alive_at)
		values (gen_random_uuid(), $1, 'running', 'text', 'test', now() - interval '10 minutes')`, product)
	require.Equal(t, "1 abandoned card imports ended", b.run(t, "clean_card_imports"))

	endpoint := uuid.New()
	b.exec(t, `insert into webhook_endpoints (id, url, event_types) values ($1, 'https://example.com', '{*}')`, endpoint)
	b.exec(t, `insert into webhook_deliveries (id, event_id, event_occurred_at, event_type, endpoint_id, next_attempt_at)
		values (gen_random_uuid(), gen_random_uuid(), now(), 'order.paid', $1, now() - interval '1 hour')`, endpoint)
	require.Equal(t, "1 webhook deliveries had lost their job", b.run(t, "sweep_webhooks"))
	b.exec(t, `update webhook_deliveries set id = '00000000-0000-7000-8000-000000000000'`)
	require.Equal(t, "1 ended webhook deliveries dropped", b.run(t, "prune_webhooks"))
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := upkeep.New(upkeep.Config{Retention: time.Hour})
	require.ErrorContains(t, err, "required")
	require.ErrorContains(t, err, "at least 24h")

	run := func(context.Context) (string, error) { return "", nil }
	for name, task := range map[string]upkeep.Task{
		"two tasks": {Name: "make_partitions", Every: time.Hour, Run: run},
		"a second":  {Name: "hectic", Every: time.Millisecond, Run: run},
		"want":      {Name: "idle", Every: time.Hour},
	} {
		pool := pgtest.New(t)
		box := outbox.NewBox(pool, time.Now, nil)
		_, err := upkeep.New(upkeep.Config{
			Pool: pool, Box: box, Inventory: &inventory.Service{}, FailedJobs: failedjobs.New(pool, time.Now), More: []upkeep.Task{task},
		})
		require.ErrorContains(t, err, name)
	}
}

// The tasks as River runs them: the leader inserts them, a worker does them, a failure is tried again.
func TestPeriodicJobs(t *testing.T) {
	t.Parallel()
	runs := make(chan int, 10)
	tries := 0
	b := setup(t, 0, upkeep.Task{Name: "flaky", Every: time.Hour, OnStart: true, Run: func(context.Context) (string, error) {
		tries++
		runs <- tries
		if tries == 1 {
			return "", errors.New("not now")
		}
		return "it", nil
	}})
	workers := river.NewWorkers()
	b.room.AddWorkers(workers)
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{
		Schema: pgdb.DefaultSchema, Workers: workers, PeriodicJobs: b.room.PeriodicJobs(),
		FetchPollInterval: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Queues: map[string]river.QueueConfig{upkeep.Queue: {MaxWorkers: 2}},
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.WithoutCancel(t.Context()))) })
	for want := 1; want <= 2; want++ {
		require.Equal(t, want, receive(t, runs))
	}
	require.Eventually(t, func() bool {
		var done int
		err := b.pool.QueryRow(t.Context(), `select count(*) from river_job where kind = 'upkeep' and state = 'completed'
			and args ->> 'task' in ('make_partitions', 'clean_card_imports', 'sweep_failed_jobs', 'sweep_webhooks', 'flaky')`).Scan(&done)
		return err == nil && done == 5
	}, 20*time.Second, 50*time.Millisecond)
}
