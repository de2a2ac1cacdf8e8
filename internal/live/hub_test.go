package live_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/live"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/relay"
)

const never = time.Hour

type bundle struct {
	t      *testing.T
	pool   *pgxpool.Pool
	vault  *cardvault.Vault
	orders *ordering.Service
	loud   *outbox.Box // its events go through a relay, which notifies
	quiet  *outbox.Box // its events wait for a safety job that nobody works on
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, pool: pgtest.New(t)}
	var err error
	b.vault, err = cardvault.Open(t.Context(), b.pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{Schema: "vendbox"})
	require.NoError(t, err)
	relaying := relay.New(b.pool, client, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { relaying.Close(context.WithoutCancel(t.Context())) })
	b.loud, b.quiet = outbox.NewBox(b.pool, time.Now, relaying.Hand), outbox.NewBox(b.pool, time.Now, nil)
	b.orders = ordering.NewService(ordering.Config{}, b.pool, b.quiet, b.vault)
	t.Cleanup(b.orders.Close)
	stock := inventory.NewService(b.pool, b.vault, b.quiet, time.Now)
	_, err = stock.Create(t.Context(), inventory.CreateParams{
		SKU: "a", Name: "A", Kind: inventory.KindCounted, Price: inventory.Money{Amount: 100, Currency: "CNY"},
	})
	require.NoError(t, err)
	require.NoError(t, b.quiet.InTx(t.Context(), func(tx *outbox.Tx) error {
		_, err := stock.Adjust(t.Context(), tx, "a", 10_000, "opening", "test")
		return err
	}))
	return b
}

func (b *bundle) hub(cfg live.Config) *live.Hub {
	b.t.Helper()
	if cfg.Pool == nil {
		cfg.Pool = b.pool
	}
	h := live.New(cfg)
	b.t.Cleanup(h.Close)
	return h
}

func (b *bundle) place(n int) []uuid.UUID {
	b.t.Helper()
	requests := make([]ordering.Request, n)
	for i := range requests {
		requests[i].Lines = []ordering.Line{{SKU: "a", Quantity: 1}}
	}
	ids := make([]uuid.UUID, n)
	for i, result := range b.orders.PlaceMany(b.t.Context(), requests, make([]string, n), ordering.Caller{}) {
		require.NoError(b.t, result.Err)
		ids[i] = result.Value.Order.ID
	}
	return ids
}

// pay changes orders in one transaction.
func (b *bundle) pay(box *outbox.Box, ids ...uuid.UUID) {
	b.t.Helper()
	require.NoError(b.t, box.InTx(b.t.Context(), func(tx *outbox.Tx) error {
		locked, err := ordering.Lock(b.t.Context(), tx, ids)
		if err != nil {
			return err
		}
		var orders []*ordering.Order
		for _, order := range locked {
			if err := order.MarkPaid(tx, ordering.By{Actor: "test"}); err != nil {
				return err
			}
			orders = append(orders, order)
		}
		return ordering.Save(b.t.Context(), tx, orders)
	}))
}

func (b *bundle) watch(h *live.Hub, id uuid.UUID) *live.Watcher {
	b.t.Helper()
	w, order, err := h.Watch(b.t.Context(), id)
	require.NoError(b.t, err)
	b.t.Cleanup(w.Close)
	require.Equal(b.t, id, order.ID)
	require.Equal(b.t, ordering.PendingPayment, order.Status)
	return w
}

func (b *bundle) seesPaid(w *live.Watcher) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	order, err := w.Next(ctx, &ordering.Order{Sequence: 1})
	require.NoError(b.t, err)
	require.Equal(b.t, ordering.Processing, order.Status)
	require.Equal(b.t, 2, order.Sequence)
	require.Len(b.t, order.Items, 1)
}

// awaitListener waits until as many connections listen, and gives their backends.
func (b *bundle) awaitListener(not ...int32) int32 {
	b.t.Helper()
	var pid int32
	require.Eventually(b.t, func() bool {
		return b.pool.QueryRow(b.t.Context(), `select pid from pg_stat_activity
			where datname = current_database() and query like 'listen %' and state = 'idle' and pid <> all($1::int[])`, append([]int32{}, not...),
		).Scan(&pid) == nil
	}, 30*time.Second, 5*time.Millisecond)
	return pid
}

// The relay's notification is all it takes: nothing is looked after by the clock here.
func TestAWatcherIsToldOfAChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hub(live.Config{Recheck: never})
	ids := b.place(2)
	watcher, other := b.watch(h, ids[0]), b.watch(h, ids[1])
	b.awaitListener()
	b.pay(b.loud, ids[0])
	b.seesPaid(watcher)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := other.Next(ctx, &ordering.Order{Sequence: 1})
	require.ErrorIs(t, err, context.Canceled, "the other order has not changed")
	order, err := watcher.Next(ctx, &ordering.Order{Sequence: 1})
	require.NoError(t, err, "who comes late gets the state that is there")
	require.Equal(t, 2, order.Sequence)
}

func TestALostHintIsMadeUpFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hub(live.Config{Recheck: 10 * time.Millisecond})
	id := b.place(1)[0]
	watcher := b.watch(h, id)
	b.pay(b.quiet, id)
	b.seesPaid(watcher)
}

// Money that is wrong is noted on the order without a step of it.
func TestAnExceptionIsSeen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hub(live.Config{Recheck: 10 * time.Millisecond})
	id := b.place(1)[0]
	watcher := b.watch(h, id)
	_, err := b.pool.Exec(t.Context(), `update orders set exception_code = 'wrong_amount' where id = $1`, id)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	order, err := watcher.Next(ctx, &ordering.Order{Sequence: 1})
	require.NoError(t, err)
	require.Equal(t, "wrong_amount", order.ExceptionCode)
}

func TestAfterAReconnectEverythingIsReadAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hub(live.Config{Recheck: never})
	ids := b.place(2)
	first, second := b.watch(h, ids[0]), b.watch(h, ids[1])
	listener := b.awaitListener()
	b.pay(b.quiet, ids[0]) // nobody is told
	_, err := b.pool.Exec(t.Context(), `select pg_terminate_backend($1)`, listener)
	require.NoError(t, err)
	b.seesPaid(first)
	b.awaitListener(listener)
	b.pay(b.loud, ids[1])
	b.seesPaid(second)
}

func TestStrangersNotificationsDoNoHarm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hub(live.Config{Recheck: never})
	id := b.place(1)[0]
	watcher := b.watch(h, id)
	b.awaitListener()
	_, err := b.pool.Exec(t.Context(), `select pg_notify('vendbox.orders', payload)
		from unnest(array['', ',', 'nonsense', $1::text, $2::text || ',x']) as payload`, uuid.NewString(), id)
	require.NoError(t, err)
	b.pay(b.loud, id)
	b.seesPaid(watcher)
}

// statements counts those that read orders.
type statements struct{ reads atomic.Int64 }

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.Contains(data.SQL, "OrderByIDs") {
		s.reads.Add(1)
	}
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestAThousandWatchersCostAFewStatements(t *testing.T) {
	t.Parallel()
	const n = 1000
	b := setup(t)
	counted := &statements{}
	cfg := b.pool.Config()
	cfg.ConnConfig.Tracer = counted
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	h := b.hub(live.Config{Pool: pool, Recheck: never})
	ids := b.place(n)
	watchers := make([]*live.Watcher, n)
	for i, id := range ids {
		watchers[i] = b.watch(h, id)
	}
	b.awaitListener()
	before := counted.reads.Load()
	b.pay(b.loud, ids...)
	for _, watcher := range watchers {
		b.seesPaid(watcher)
	}
	require.LessOrEqual(t, counted.reads.Load()-before, int64(20), "of a thousand changed orders")
}

func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hub(live.Config{Recheck: never, MaxWatchers: 3, MaxPerOrder: 2})
	ids := b.place(3)
	first := b.watch(h, ids[0])
	b.watch(h, ids[0])
	_, _, err := h.Watch(t.Context(), ids[0])
	require.True(t, fault.HasCode(err, "order_watchers_full"), err)
	b.watch(h, ids[1])
	_, _, err = h.Watch(t.Context(), ids[2])
	require.True(t, fault.HasCode(err, "watchers_full"), err)
	first.Close()
	first.Close() // once is enough
	_, _, err = h.Watch(t.Context(), uuid.New())
	require.True(t, fault.HasCode(err, "order_not_found"), err)
	b.watch(h, ids[2]) // the failed one has given its place back
}

func TestEnded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		order ordering.Order
		want  bool
	}{
		"waiting":           {ordering.Order{Status: ordering.PendingPayment, PaymentStatus: ordering.Unpaid, ExpiresAt: now}, false},
		"held":              {ordering.Order{Status: ordering.OnHold, PaymentStatus: ordering.Paid}, false},
		"held, refunded":    {ordering.Order{Status: ordering.OnHold, PaymentStatus: ordering.Refunded}, true},
		"completed":         {ordering.Order{Status: ordering.Completed, PaymentStatus: ordering.Paid}, true},
		"refunded":          {ordering.Order{Status: ordering.Canceled, PaymentStatus: ordering.Refunded, ClosedAt: now}, true},
		"canceled just now": {ordering.Order{Status: ordering.Canceled, PaymentStatus: ordering.Unpaid, ClosedAt: now}, false},
		"expired just now":  {ordering.Order{Status: ordering.Expired, PaymentStatus: ordering.Unpaid, ClosedAt: now.Add(-time.Hour)}, false},
		"expired long ago":  {ordering.Order{Status: ordering.Expired, PaymentStatus: ordering.Unpaid, ClosedAt: now.Add(-25 * time.Hour)}, true},
	} {
		require.Equal(t, c.want, live.Ended(&c.order, now), name)
	}
}
