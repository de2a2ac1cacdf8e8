package audit_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/audit"
	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/relay"
	"github.com/vendbox/vendbox/internal/webhooks"
)

// bundle is the rooms as they work together, by a clock that is ten minutes behind the database's: what they leave
// undone is overdue.
type bundle struct {
	pool     *pgxpool.Pool
	box      *outbox.Box
	relay    *relay.Relay
	orders   *ordering.Service
	payments *payments.Service
	stock    *inventory.Service
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{pool: pgtest.New(t)}
	clock := func() time.Time { return time.Now().Add(-10 * time.Minute) }
	vault, err := cardvault.Open(t.Context(), b.pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{Schema: pgdb.DefaultSchema, Logger: log})
	require.NoError(t, err)
	b.box = outbox.NewBox(b.pool, clock, func(batch outbox.Batch) { b.relay.Hand(batch) })
	hooks, err := webhooks.NewService(webhooks.Config{AllowHTTP: true, AllowPrivate: true}, webhooks.Deps{
		Pool: b.pool, Box: b.box, Vault: vault, Jobs: client,
		Now: func() time.Time { return time.Now().Add(-time.Hour) },
	})
	require.NoError(t, err)
	t.Cleanup(hooks.Close)
	b.relay = relay.New(b.pool, client, log, fulfillment.Enlist, hooks.Enlist)
	b.orders = ordering.NewService(ordering.Config{Region: "CN"}, b.pool, b.box, vault)
	t.Cleanup(b.orders.Close)
	b.payments = payments.NewService(b.pool, b.box, clock, payments.NewSandbox(clock, "secret"))
	t.Cleanup(b.payments.Close)
	b.stock = inventory.NewService(b.pool, vault, b.box, clock)
	_, _, err = hooks.CreateEndpoint(t.Context(), webhooks.NewEndpoint{
		URL: "http://127.0.0.1:9/hook", EventTypes: []string{"order.*", "stock.imported"},
	})
	require.NoError(t, err)
	return b
}

// healthy has orders in every state that the rooms know, and gives the one that was delivered.
func healthy(t *testing.T) (*bundle, uuid.UUID) {
	t.Helper()
	b := setup(t)
	b.product(t, "card", inventory.KindCard)
	b.product(t, "count", inventory.KindCounted)
	_, err := b.stock.Import(t.Context(), inventory.ImportParams{
		SKU: "card", Format: inventory.FormatText, Actor: "test", Reader: strings.NewReader("A-1\nA-2\nA-3\nA-4\nA-5\nA-6\n"),
	})
	require.NoError(t, err)
	_, err = b.stock.AdjustStock(t.Context(), "count", 10, "delivered", "test")
	require.NoError(t, err)
	delivered := b.place(t, "both", ordering.Line{SKU: "card", Quantity: 2}, ordering.Line{SKU: "count", Quantity: 3})
	require.Equal(t, payments.Applied, b.pay(t, delivered, 0))
	require.Equal(t, fulfillment.Delivered, b.deliver(t, delivered.ID))
	b.payAgain(t, delivered)

	b.place(t, "", ordering.Line{SKU: "card", Quantity: 1})                   // waits for its money
	waiting := b.place(t, "waiting", ordering.Line{SKU: "card", Quantity: 1}) // and this one for its card
	require.Equal(t, payments.Applied, b.pay(t, waiting, 0))
	wrong := b.place(t, "", ordering.Line{SKU: "count", Quantity: 1})
	require.Equal(t, payments.WrongAmount, b.pay(t, wrong, -1))
	b.relay.Close(context.WithoutCancel(t.Context())) // everything is relayed
	return b, delivered.ID
}

func (b *bundle) product(t *testing.T, sku string, kind inventory.Kind) {
	t.Helper()
	_, err := b.stock.Create(t.Context(), inventory.CreateParams{
		SKU: sku, Name: "Product", Kind: kind, Price: inventory.Money{Amount: 1999, Currency: "CNY"},
	})
	require.NoError(t, err)
}

func (b *bundle) place(t *testing.T, key string, lines ...ordering.Line) ordering.Order {
	t.Helper()
	placed, err := b.orders.Place(t.Context(), ordering.Request{
		Lines: lines, Phone: "13800138000", Email: "ann@example.com", Metadata: []byte(`{"phone":"+8613800138000"}`),
	}, ordering.Caller{APIKeyID: uuid.New(), IdempotencyKey: key})
	require.NoError(t, err)
	return placed.Order
}

// pay begins an attempt and applies a notice over another amount than asked for.
func (b *bundle) pay(t *testing.T, order ordering.Order, more int64) payments.Outcome {
	t.Helper()
	payment, err := b.payments.Begin(t.Context(), order.ID, "sandbox")
	require.NoError(t, err)
	return b.notice(t, payment.ID, ordering.Money{Amount: order.Total + more, Currency: order.Currency})
}

// payAgain pays an order that is paid, by another attempt.
func (b *bundle) payAgain(t *testing.T, order ordering.Order) {
	t.Helper()
	id := uuid.New()
	b.exec(t, `insert into payments (id, order_id, channel, account, amount, currency) values ($1, $2, 'sandbox', 'default', $3, 'CNY')`,
		id, order.ID, order.Total)
	require.Equal(t, payments.SecondPayment, b.notice(t, id, ordering.Money{Amount: order.Total, Currency: order.Currency}))
}

func (b *bundle) notice(t *testing.T, paymentID uuid.UUID, amount ordering.Money) (outcome payments.Outcome) {
	t.Helper()
	require.NoError(t, b.box.InTx(t.Context(), func(tx *outbox.Tx) error {
		results, err := payments.Apply(t.Context(), tx, "sandbox", []payments.Notice{{
			EventID: paymentID.String(), Type: payments.TypeSucceeded, Account: "default", PaymentID: paymentID, Amount: amount,
			OccurredAt: tx.Now, Body: []byte(`{}`),
		}}, nil)
		if err == nil {
			outcome = results[0].Value.Outcome
		}
		return err
	}))
	return outcome
}

func (b *bundle) deliver(t *testing.T, orderID uuid.UUID) (outcome fulfillment.Outcome) {
	t.Helper()
	require.NoError(t, b.box.InTx(t.Context(), func(tx *outbox.Tx) error {
		results, err := fulfillment.Deliver(t.Context(), tx, []uuid.UUID{orderID})
		if err == nil {
			outcome = results[0].Value
		}
		return err
	}))
	return outcome
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// unchecked changes rows past foreign keys and triggers.
func (b *bundle) unchecked(t *testing.T, sql string) {
	t.Helper()
	require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `set local session_replication_role = replica; `+sql)
		return err
	}))
}

func (b *bundle) text(t *testing.T, sql string) (text string) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(), sql).Scan(&text))
	return text
}

func (b *bundle) audit(t *testing.T) audit.Report {
	t.Helper()
	report, err := audit.Run(context.WithoutCancel(t.Context()), b.pool)
	require.NoError(t, err)
	return report
}

func names(check audit.Check, id *string, what string) bool {
	for _, o := range check.Offenders {
		if (id == nil || o.ID == *id) && strings.Contains(o.What, what) {
			return true
		}
	}
	return false
}

func table(t *testing.T, report audit.Report) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, report.Table(&b))
	return b.String()
}
