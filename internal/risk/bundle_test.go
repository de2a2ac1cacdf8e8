package risk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/relay"
	"github.com/vendbox/vendbox/internal/risk"
)

// bundle is a shop that sells "a" (counted, 100 fen a unit), with the relay as it is wired, and workers when a test wants.
type bundle struct {
	t        *testing.T
	pool     *pgxpool.Pool
	box      *outbox.Box
	client   *river.Client[pgx.Tx]
	risk     *risk.Service
	route    fulfillment.Route
	delivery *fulfillment.Worker
	orders   *ordering.Service
	payments *payments.Service
	stock    *inventory.Service
	logs     *logs

	clock struct {
		mu    sync.Mutex
		ahead time.Duration
	}
}

const region = "CN"

func setup(t *testing.T, rules string) *bundle {
	t.Helper()
	b := &bundle{t: t, pool: pgtest.New(t), logs: &logs{}}
	log := slog.New(slog.NewTextHandler(b.logs, nil))
	vault, err := cardvault.Open(t.Context(), b.pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	b.client, err = river.NewClient(riverpgxv5.New(b.pool), &river.Config{Schema: pgdb.DefaultSchema, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	var hops *relay.Relay
	b.box = outbox.NewBox(b.pool, b.now, func(batch outbox.Batch) { hops.Hand(batch) })
	b.delivery = fulfillment.NewWorker(b.box, slog.New(slog.DiscardHandler), nil)
	t.Cleanup(b.delivery.Close)

	cfg := risk.Config{Region: region}
	if rules != "" {
		cfg.File, err = risk.Parse([]byte(rules), region, func(string) (string, bool) { return "secret-token", true })
		require.NoError(t, err)
	}
	b.risk, err = risk.NewService(cfg, risk.Deps{
		Pool: b.pool, Box: b.box, Vault: vault, Jobs: b.client, Delivery: fulfillment.Job, Queue: fulfillment.Queue, Log: log, Now: b.now,
	})
	require.NoError(t, err)
	t.Cleanup(b.risk.Close)
	if b.risk.Assesses() {
		b.route.Before = b.risk.Before
	}
	hops = relay.New(b.pool, b.client, slog.New(slog.DiscardHandler), b.route.Enlist)
	t.Cleanup(func() { hops.Close(context.WithoutCancel(t.Context())) })

	b.orders = ordering.NewService(ordering.Config{Region: region, Guard: b.risk.Guard()}, b.pool, b.box, vault)
	t.Cleanup(b.orders.Close)
	b.payments = payments.NewService(b.pool, b.box, b.now, payments.NewSandbox(b.now, "sandbox-secret"))
	t.Cleanup(b.payments.Close)
	b.stock = inventory.NewService(b.pool, vault, b.box, b.now)
	_, err = b.stock.Create(t.Context(), inventory.CreateParams{
		SKU: "a", Name: "A", Kind: inventory.KindCounted, Price: inventory.Money{Amount: 100, Currency: "CNY"},
	})
	require.NoError(t, err)
	b.restock(10_000)
	return b
}

func (b *bundle) now() time.Time {
	b.clock.mu.Lock()
	defer b.clock.mu.Unlock()
	return time.Now().Add(b.clock.ahead)
}

// pass lets time go by.
func (b *bundle) pass(d time.Duration) {
	b.clock.mu.Lock()
	defer b.clock.mu.Unlock()
	b.clock.ahead += d
}

func (b *bundle) restock(units int64) {
	b.t.Helper()
	require.NoError(b.t, b.box.InTx(b.t.Context(), func(tx *outbox.Tx) error {
		_, err := b.stock.Adjust(b.t.Context(), tx, "a", units, "test", "test")
		return err
	}))
}

// work starts workers on the queue of deliveries.
func (b *bundle) work() {
	b.t.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, b.risk.Worker())
	river.AddWorker(workers, b.delivery)
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{
		Schema: pgdb.DefaultSchema, Logger: slog.New(slog.DiscardHandler), Workers: workers, FetchCooldown: 5 * time.Millisecond,
		FetchPollInterval: 50 * time.Millisecond, Queues: map[string]river.QueueConfig{fulfillment.Queue: {MaxWorkers: 20}},
	})
	require.NoError(b.t, err)
	require.NoError(b.t, client.Start(context.WithoutCancel(b.t.Context())))
	b.t.Cleanup(func() { _ = client.Stop(context.WithoutCancel(b.t.Context())) })
}

// assess runs the job that assesses an order, as a worker would.
func (b *bundle) assess(id uuid.UUID) error {
	job := &river.Job[risk.Args]{JobRow: &rivertype.JobRow{Metadata: []byte(`{}`)}, Args: risk.Args{OrderID: id}}
	return b.risk.Worker().Work(b.t.Context(), job)
}

type buyer struct {
	phone, email, ip string
}

func (b *bundle) try(quantity int, who buyer, key string) (ordering.Placed, error) {
	return b.orders.Place(b.t.Context(), ordering.Request{
		Lines: []ordering.Line{{SKU: "a", Quantity: quantity}}, Phone: who.phone, Email: who.email, ClientIP: who.ip,
	}, ordering.Caller{APIKeyID: uuid.NameSpaceDNS, IdempotencyKey: key})
}

func (b *bundle) place(quantity int, who buyer) uuid.UUID {
	b.t.Helper()
	placed, err := b.try(quantity, who, "")
	require.NoError(b.t, err)
	return placed.Order.ID
}

// pay pays an order by a notice of the sandbox.
func (b *bundle) pay(id uuid.UUID) payments.Outcome {
	b.t.Helper()
	var payment uuid.UUID
	err := b.pool.QueryRow(b.t.Context(), `select id from payments where order_id = $1`, id).Scan(&payment)
	if err != nil {
		begun, err := b.payments.Begin(b.t.Context(), id, "sandbox")
		require.NoError(b.t, err)
		payment = begun.ID
	}
	order := b.order(id)
	return b.notice(payment, ordering.Money{Amount: order.Total, Currency: order.Currency})
}

// notice is of money that came for an attempt.
func (b *bundle) notice(payment uuid.UUID, amount ordering.Money) (outcome payments.Outcome) {
	b.t.Helper()
	require.NoError(b.t, b.box.InTx(b.t.Context(), func(tx *outbox.Tx) error {
		results, err := payments.Apply(b.t.Context(), tx, "sandbox", []payments.Notice{{
			EventID: uuid.NewString(), Type: payments.TypeSucceeded, Account: "default", PaymentID: payment,
			Amount: amount, OccurredAt: tx.Now, Body: []byte(`{}`),
		}}, nil)
		if err == nil {
			outcome = results[0].Value.Outcome
		}
		return err
	}))
	return outcome
}

func (b *bundle) bought(quantity int, who buyer) uuid.UUID {
	b.t.Helper()
	id := b.place(quantity, who)
	require.Equal(b.t, payments.Applied, b.pay(id))
	return id
}

func (b *bundle) order(id uuid.UUID) *ordering.Order {
	b.t.Helper()
	order, err := b.orders.Get(b.t.Context(), id)
	require.NoError(b.t, err)
	return order
}

// becomes waits for an order's status.
func (b *bundle) becomes(id uuid.UUID, status ordering.Status) *ordering.Order {
	b.t.Helper()
	var order *ordering.Order
	require.Eventually(b.t, func() bool {
		order = b.order(id)
		return order.Status == status
	}, 20*time.Second, 5*time.Millisecond, "%s: not %s", id, status)
	return order
}

// held wants an order that was held by some rules before anything was delivered.
func (b *bundle) held(id uuid.UUID, rules ...string) risk.Assessment {
	b.t.Helper()
	order := b.becomes(id, ordering.OnHold)
	require.Equal(b.t, ordering.HoldRisk, order.HoldReason)
	require.Equal(b.t, ordering.Unfulfilled, order.FulfillmentStatus)
	a, err := b.risk.Get(b.t.Context(), id)
	require.NoError(b.t, err)
	require.Equal(b.t, risk.DecisionHold, a.Decision)
	require.Equal(b.t, rules, a.Rules)
	return a
}

// passed wants an order that was assessed and delivered.
func (b *bundle) passed(id uuid.UUID) risk.Assessment {
	b.t.Helper()
	b.becomes(id, ordering.Completed)
	a, err := b.risk.Get(b.t.Context(), id)
	require.NoError(b.t, err)
	require.Equal(b.t, risk.DecisionPass, a.Decision)
	require.Empty(b.t, a.Rules)
	return a
}

// story is an order's timeline as "event by actor: reason".
func (b *bundle) story(id uuid.UUID) []string {
	b.t.Helper()
	entries, err := b.orders.Timeline(b.t.Context(), id)
	require.NoError(b.t, err)
	var story []string
	for _, e := range entries {
		story = append(story, fmt.Sprintf("%s by %s: %s", e.Event, e.Actor, e.Reason))
	}
	return story
}

func (b *bundle) int(query string, args ...any) int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.pool.QueryRow(b.t.Context(), query, args...).Scan(&n))
	return n
}

func (b *bundle) exec(query string) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), query)
	require.NoError(b.t, err)
}

func (b *bundle) jobs(kind string, id uuid.UUID) int {
	b.t.Helper()
	return b.int(`select count(*) from river_job where kind = $1 and args ->> 'order_id' = $2`, kind, id.String())
}

// enlisted waits until the relay has made an order's job.
func (b *bundle) enlisted(kind string, id uuid.UUID) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.jobs(kind, id) > 0 }, 20*time.Second, 5*time.Millisecond, "no %s of %s", kind, id)
}

// logs is what was logged.
type logs struct {
	mu   sync.Mutex
	text []byte
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// rules is a rules file.
func rules(t *testing.T, some ...map[string]any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"rules": some})
	require.NoError(t, err)
	return string(text)
}

type m = map[string]any

func yuan(fen int) m { return m{"amount": fen, "currency": "CNY"} }
