package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
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

	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/relay"
)

// The tests route every event to one job of kind "seen", through a ledger that, like the real ones, has the event's id
// as its key.
type seenArgs struct {
	EventID uuid.UUID `json:"event_id"`
}

func (seenArgs) Kind() string { return "seen" }

type bundle struct {
	t      *testing.T
	db     pgtest.DB
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db := pgtest.NewDB(t)
	_, err := db.Pool.Exec(t.Context(), `create table ledger (event_id uuid primary key)`)
	require.NoError(t, err)
	client, err := river.NewClient(riverpgxv5.New(db.Pool), &river.Config{Schema: "vendbox"})
	require.NoError(t, err)
	return &bundle{t: t, db: db, pool: db.Pool, client: client}
}

func route(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error) {
	ids := make([]uuid.UUID, len(events))
	for i, event := range events {
		ids[i] = event.ID
	}
	rows, err := tx.Query(ctx, `insert into ledger select unnest($1::uuid[]) on conflict do nothing returning event_id`, ids)
	if err != nil {
		return nil, err
	}
	fresh, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, err
	}
	jobs := make([]river.InsertManyParams, len(fresh))
	for i, id := range fresh {
		jobs[i] = river.InsertManyParams{Args: seenArgs{id}, InsertOpts: &river.InsertOpts{Queue: "cards"}}
	}
	return jobs, nil
}

func (b *bundle) relay(routes ...relay.Route) *relay.Relay {
	b.t.Helper()
	if routes == nil {
		routes = []relay.Route{route}
	}
	r := relay.New(b.pool, b.client, slog.New(slog.DiscardHandler), routes...)
	b.t.Cleanup(func() { r.Close(context.WithoutCancel(b.t.Context())) })
	return r
}

// work runs the relay's safety jobs until stop.
func (b *bundle) work(r *relay.Relay) (stop func()) {
	b.t.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, r.Worker())
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{
		Schema: "vendbox", Workers: workers, Queues: map[string]river.QueueConfig{relay.Queue: {MaxWorkers: 50}},
		FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(b.t, err)
	require.NoError(b.t, client.Start(context.Background()))
	stop = func() { _ = client.StopAndCancel(context.Background()) }
	b.t.Cleanup(stop)
	return stop
}

func (b *bundle) box(handOff func(outbox.Batch)) *outbox.Box {
	return outbox.NewBox(b.pool, time.Now, handOff)
}

func (b *bundle) append(box *outbox.Box, n int) {
	b.t.Helper()
	require.NoError(b.t, box.InTx(b.t.Context(), func(tx *outbox.Tx) error {
		for i := range n {
			tx.Append(outbox.Event{AggregateType: "thing", AggregateID: strconv.Itoa(i), Type: "thing.made", Payload: json.RawMessage(`{}`)})
		}
		return nil
	}))
}

func (b *bundle) int(query string, args ...any) int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.pool.QueryRow(b.t.Context(), query, args...).Scan(&n))
	return n
}

// due makes the safety jobs fall due now: what ten seconds and River's scheduler would do.
func (b *bundle) due() {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), `update river_job set state = 'available', scheduled_at = now()
		where kind = 'relay' and state = 'scheduled'`)
	require.NoError(b.t, err)
}

func (b *bundle) eventually(want int, query string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.int(query) == want }, 30*time.Second, 5*time.Millisecond, query)
}

const (
	jobsSeen      = `select count(*) from river_job where kind = 'seen'`
	distinctSeen  = `select count(distinct args) from river_job where kind = 'seen'`
	safetyWaiting = `select count(*) from river_job where kind = 'relay' and state in ('scheduled', 'available', 'running', 'retryable')`
)

func TestFastPathRelaysAtOnceAndDropsTheSafetyJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.relay()
	box := b.box(r.Hand)
	for range 20 {
		b.append(box, 3)
	}
	b.eventually(60, jobsSeen)
	b.eventually(0, safetyWaiting)
	require.Equal(t, 60, b.int(distinctSeen))
}

func TestNothingIsRelayedOfARollback(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.relay()
	err := b.box(r.Hand).InTx(t.Context(), func(tx *outbox.Tx) error {
		tx.Append(outbox.Event{AggregateType: "thing", AggregateID: "1", Type: "thing.made", Payload: json.RawMessage(`{}`)})
		return errors.New("no")
	})
	require.EqualError(t, err, "no")
	r.Close(t.Context())
	require.Zero(t, b.int(`select count(*) from outbox`)+b.int(jobsSeen)+b.int(safetyWaiting))
}

// A crash between commit and relay: nobody handed the events over.
func TestSafetyJobsRelayWhatTheFastPathMissed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	box := b.box(nil)
	for range 200 {
		b.append(box, 10)
	}
	require.Equal(t, 200, b.int(`select count(*) from river_job
		where kind = 'relay' and state = 'scheduled' and scheduled_at > now() + interval '5 s'`))
	b.due()
	b.work(b.relay())
	b.eventually(2000, jobsSeen)
	b.eventually(0, safetyWaiting)
	require.Equal(t, 2000, b.int(distinctSeen))
}

// A crash inside the relay's transaction: all of it is undone, and the safety job does it again.
func TestACrashBeforeTheRelaysCommitLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var crashes atomic.Int32
	r := b.relay(route, func(context.Context, pgx.Tx, []outbox.Event) ([]river.InsertManyParams, error) {
		if crashes.Add(1) == 1 {
			return nil, errors.New("crash")
		}
		return nil, nil
	})
	b.append(b.box(r.Hand), 5)
	require.Eventually(t, func() bool { return crashes.Load() == 1 }, 10*time.Second, time.Millisecond)
	require.Zero(t, b.int(jobsSeen)+b.int(`select count(*) from ledger`))
	require.Equal(t, 1, b.int(safetyWaiting))
	b.due()
	b.work(r)
	b.eventually(5, jobsSeen)
}

// The fast path of two processes and the safety jobs all take the same events at the same time.
func TestRacingPathsRelayEachEventOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.relay(), b.relay()
	b.work(first)
	b.work(second)
	box := b.box(func(batch outbox.Batch) {
		var wg sync.WaitGroup
		wg.Go(func() { first.Hand(batch) })
		wg.Go(func() { second.Hand(batch) })
		wg.Wait()
	})
	for i := range 100 {
		b.append(box, 5)
		if i%10 == 0 {
			b.due()
		}
	}
	b.due()
	b.eventually(500, distinctSeen)
	b.eventually(0, safetyWaiting)
	require.Equal(t, 500, b.int(jobsSeen))
}

// Somebody's long transaction, begun before the events, holds up neither relaying nor anything else.
func TestALongForeignTransactionDoesNotStopRelaying(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn, err := b.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	foreign, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = foreign.Rollback(t.Context()) }()
	_, err = foreign.Exec(t.Context(), `select pg_current_xact_id()`)
	require.NoError(t, err)

	r := b.relay()
	box := b.box(r.Hand)
	b.append(box, 5)
	b.eventually(5, jobsSeen)
	missed := b.box(nil)
	b.append(missed, 5)
	b.due()
	b.work(r)
	b.eventually(10, jobsSeen)

	events, _, err := box.Feed(t.Context(), "", nil, 100)
	require.NoError(t, err)
	require.Empty(t, events, "the feed waits: the open transaction may still append an older event")
	require.NoError(t, foreign.Commit(t.Context()))
	require.Eventually(t, func() bool {
		events, _, err = box.Feed(t.Context(), "", nil, 100)
		return err == nil && len(events) == 10
	}, 30*time.Second, 10*time.Millisecond)
}

// Begun early, committed late: by then newer events have been relayed and read.
func TestALateCommitIsRelayedAndReadOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.relay()
	b.work(r)
	box := b.box(r.Hand)
	conn, err := b.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	late, err := conn.Begin(t.Context())
	require.NoError(t, err)
	var lateID uuid.UUID
	require.NoError(t, late.QueryRow(t.Context(), `select emit('shop.late', 'thing', '1', '{"n": 1}')`).Scan(&lateID))

	b.append(box, 10)
	b.eventually(10, jobsSeen)
	read := map[uuid.UUID]int{}
	cursor := ""
	drain := func() {
		for {
			events, next, err := box.Feed(t.Context(), cursor, nil, 3)
			require.NoError(t, err)
			if len(events) == 0 {
				return
			}
			for _, event := range events {
				read[event.ID]++
			}
			cursor = next
		}
	}
	drain()
	require.NoError(t, late.Commit(t.Context()))
	b.eventually(11, jobsSeen)
	require.Eventually(t, func() bool { drain(); return len(read) == 11 }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, 1, read[lateID])
	for id, n := range read {
		require.Equal(t, 1, n, id)
	}
}

func TestEmitCommitsAndVanishesWithItsTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work(b.relay())
	emit := func(tx pgx.Tx, n int) {
		for range n {
			_, err := tx.Exec(t.Context(), `select emit('shop.sold', 'thing', '1', '{"n": 1}')`)
			require.NoError(t, err)
		}
	}
	require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		emit(tx, 3)
		require.Equal(t, 1, count(t, tx, `select count(*) from river_job where kind = 'relay' and state = 'available'`), "one job a transaction")
		return nil
	}))
	b.eventually(3, jobsSeen)
	require.Error(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error { emit(tx, 3); return errors.New("no") }))
	// An emit whose savepoint is rolled back takes its job with it; the next one has to bring its own.
	require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		_ = pgdb.InTx(t.Context(), tx, func(savepoint pgx.Tx) error { emit(savepoint, 1); return errors.New("no") })
		emit(tx, 1)
		return nil
	}))
	b.eventually(4, jobsSeen)
	require.Equal(t, 4, b.int(`select count(*) from outbox`))
}

// What an application passes as headers is its own; only what we know of them is kept.
func TestEmitKeepsOnlyTheHeadersItKnows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for given, kept := range map[string]string{
		`{"traceparent":"` + traceparent + `","locale":"zh"}`:    `{"traceparent":"` + traceparent + `","locale":"zh"}`,
		`{"endpoint_id":"nope","traceparent":5,"locale":"fr"}`:   `{}`,
		`{"endpoint_id":"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2"}`: `{}`,
		`[1]`: `{}`, `"x"`: `{}`, `null`: `{}`,
	} {
		var id uuid.UUID
		require.NoError(t, b.pool.QueryRow(t.Context(), `select emit('shop.sold', 'thing', '1', '{}', $1::text::jsonb)`, given).Scan(&id))
		var got string
		require.NoError(t, b.pool.QueryRow(t.Context(), `select headers from outbox where id = $1`, id).Scan(&got))
		require.JSONEq(t, kept, got)
	}
	b.work(b.relay())
	b.eventually(6, jobsSeen)
}

func count(t *testing.T, tx pgx.Tx, query string) int {
	t.Helper()
	var n int
	require.NoError(t, tx.QueryRow(t.Context(), query).Scan(&n))
	return n
}

func TestEmitRefusesWhatItCannotKeep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, call := range []string{
		`select emit('order.paid', 'order', '1', '{}')`,
		`select emit('payment.x', 'order', '1', '{}')`,
		`select emit('noDot', 'thing', '1', '{}')`,
		`select emit('Shop.Sold', 'thing', '1', '{}')`,
		`select emit('shop.sold', 'Thing', '1', '{}')`,
		`select emit('shop.sold', 'thing', '', '{}')`,
		`select emit('shop.sold', 'thing', '1', '[]')`,
		`select emit('shop.sold', 'thing', '1', null)`,
		`select emit('shop.sold', 'thing', '1', ('{"a":' || repeat('[', 70) || repeat(']', 70) || '}')::jsonb)`,
		`select emit('shop.sold', 'thing', '1', ('{"a":' || repeat('[', 10001) || repeat(']', 10001) || '}')::jsonb)`,
		`select emit(null, 'thing', '1', '{}')`,
		`select emit('shop.sold', 'thing', '1', jsonb_build_object('x', repeat('x', 300000)))`,
	} {
		_, err := b.pool.Exec(t.Context(), call)
		require.Error(t, err, call)
	}
	require.Zero(t, b.int(`select count(*) from outbox`)+b.int(safetyWaiting))
}

// Above its bound the fast path lets events go to their safety jobs instead of holding ever more of them in memory.
func TestAFullQueueIsLeftToTheSafetyJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate := make(chan struct{})
	r := b.relay(func(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error) {
		<-gate
		return route(ctx, tx, events)
	})
	events := make([]outbox.Event, 1000)
	for i := range events {
		events[i].ID = uuid.New()
	}
	r.Hand(outbox.Batch{Events: make([]outbox.Event, 5_001)})
	require.Zero(t, relay.Waiting(r), "too much of one transaction")
	for range 100 {
		r.Hand(outbox.Batch{Events: events})
	}
	require.LessOrEqual(t, relay.Waiting(r), 50_000)
	close(gate)
}
