package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/reconcile"
)

type bundle struct {
	pool *pgxpool.Pool
	room *reconcile.Service
	now  time.Time
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{pool: pgtest.New(t), now: time.Now()}
	b.room = reconcile.New(b.pool, nil, func() time.Time { b.now = b.now.Add(time.Millisecond); return b.now })
	return b
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// paid makes an order that was paid an hour ago, and is still processing, and its payment's id.
func (b *bundle) paid(t *testing.T, amount int64) (order, payment uuid.UUID) {
	t.Helper()
	product := uuid.New()
	order, payment = uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	b.exec(t, `insert into products (id, sku, name, kind, price_amount, price_currency)
		values ($1, $2, 'Card', 'counted', $3, 'CNY')`,
		product, "sku-"+product.String()[:8], amount)
	b.exec(t, `insert into stock values ($1, 0)`, product)
	b.exec(t, `insert into stock_movements (id, product_id, delta, reason, actor) values ($1, $2, 1, 'test', 'test')`,
		uuid.New(), product)
	b.exec(t, `insert into orders (id, number, status, payment_status, currency, total_amount, paid_amount, locale, api_key_id,
			placed_at, expires_at, paid_at)
		values ($1, $2, 'processing', 'paid', 'CNY', $3, $3, 'en', gen_random_uuid(),
			now() - interval '2 hours', now(), now() - interval '1 hour')`,
		order, order.String(), amount)
	b.exec(t, `insert into order_items (order_id, line, product_id, sku, name, kind, quantity, unit_price_amount)
		values ($1, 1, $2, 's', 'n', 'counted', 1, $3)`,
		order, product, amount)
	b.exec(t, `insert into payments (id, order_id, channel, account, status, amount, currency, succeeded_at)
		values ($1, $2, 'alipay', 'a', 'succeeded', $3, 'CNY', now() - interval '1 hour')`, payment, order, amount)
	return order, payment
}

func (b *bundle) window() (from, to time.Time) {
	return b.now.Add(-24 * time.Hour), b.now.Add(time.Hour)
}

func kinds(found []reconcile.Difference, subject string) []string {
	var kinds []string
	for _, d := range found {
		if d.Subject == subject {
			kinds = append(kinds, d.Kind)
		}
	}
	return kinds
}

func TestAnOrderThatIsStuckIsAnEntryUntilItMoves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order, _ := b.paid(t, 1999)
	from, to := b.window()
	report, err := b.room.Run(t.Context(), from, to)
	require.NoError(t, err)
	require.Contains(t, kinds(report.Differences, order.String()), "paid_undelivered")
	again, err := b.room.Run(t.Context(), from, to)
	require.NoError(t, err)
	require.Zero(t, again.Gone)

	entry := b.find(t, "paid_undelivered", order.String(), "open")
	require.True(t, entry.LastSeen.After(entry.FirstSeen), "the same entry, seen twice")
	require.NotEmpty(t, entry.Suggestion)

	b.exec(t, `update orders set status = 'completed', fulfillment_status = 'fulfilled', completed_at = now()`)
	b.exec(t, `update order_items set fulfilled_quantity = quantity`)
	after, err := b.room.Run(t.Context(), from, to)
	require.NoError(t, err)
	require.Positive(t, after.Gone)
	require.NotContains(t, kinds(after.Differences, order.String()), "paid_undelivered")
	require.NotNil(t, b.find(t, "paid_undelivered", order.String(), "gone").ClosedAt)
}

func (b *bundle) find(t *testing.T, kind, subject, status string) reconcile.Entry {
	t.Helper()
	entries, _, err := b.room.List(t.Context(), status, "", 100)
	require.NoError(t, err)
	for _, entry := range entries {
		if entry.Kind == kind && entry.Subject == subject {
			return entry
		}
	}
	require.Failf(t, "no such entry", "%s %s %s among %v", status, kind, subject, entries)
	return reconcile.Entry{}
}

func TestTheBooksAreCompared(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order, _ := b.paid(t, 500)
	b.exec(t, `update order_items set unit_price_amount = 400`)
	from, to := b.window()
	report, err := b.room.Run(t.Context(), from, to)
	require.NoError(t, err)
	require.Contains(t, kinds(report.Differences, order.String()), "I10")
	for _, d := range report.Differences {
		require.NotEmpty(t, d.Suggestion, d.Kind)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order, _ := b.paid(t, 1999)
	from, to := b.window()
	_, err := b.room.Run(t.Context(), from, to)
	require.NoError(t, err)
	entry := b.find(t, "paid_undelivered", order.String(), "open")
	resolved, err := b.room.Resolve(t.Context(), entry.ID, "operator:ann", "sent by hand")
	require.NoError(t, err)
	require.Equal(t, []string{"resolved", "operator:ann", "sent by hand"}, []string{resolved.Status, resolved.ClosedBy, resolved.Note})
	_, err = b.room.Resolve(t.Context(), entry.ID, "operator:ann", "again")
	require.True(t, fault.HasCode(err, "reconciliation_entry_not_open"), "%v", err)
	_, err = b.room.Run(t.Context(), from, to)
	require.NoError(t, err)
	require.NotEqual(t, entry.ID, b.find(t, "paid_undelivered", order.String(), "open").ID, "it is there still")
}

func TestEachDoubtfulNoticeIsAMatterOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order, payment := b.paid(t, 1999)
	doubt := func(event string, amount int) {
		b.exec(t, `insert into payment_events (id, channel, account, event_id, payment_id, order_id, type, amount, currency, outcome, body,
				occurred_at, received_at)
			values ($1, 'alipay', 'a', $2, $3, $4, 'payment.succeeded', $5, 'CNY', 'second_payment', '', $6, $6)`,
			uuid.Must(uuid.NewV7()), event, payment, order, amount, b.now.Add(-time.Minute))
	}
	run := func() (doubts int) {
		from, to := b.window()
		report, err := b.room.Run(t.Context(), from, to)
		require.NoError(t, err)
		for _, d := range report.Differences {
			if d.Kind == "money_in_doubt" {
				doubts++
			}
		}
		return doubts
	}
	doubt("one", 50)
	doubt("two", 70)
	require.Equal(t, 2, run())
	entry := b.find(t, "money_in_doubt", order.String(), "open")
	_, err := b.room.Resolve(t.Context(), entry.ID, "operator:ann", "given back by hand")
	require.NoError(t, err)
	require.Equal(t, 1, run(), "what is resolved is no difference any more, and the other one is")
	doubt("three", 90)
	require.Equal(t, 2, run())
}

var columns = reconcile.Columns{Payment: "商户订单号", Amount: "订单金额", Type: "业务类型", Default: "CNY"}

func TestASettlementFileIsComparedBothWays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, right := b.paid(t, 1999)
	_, wrong := b.paid(t, 1000)
	_, missing := b.paid(t, 700)
	_, open := b.paid(t, 300)
	b.exec(t, `update payments set status = 'pending', succeeded_at = null where id = $1`, open)
	stranger := uuid.New()
	file := "\xef\xbb\xbf#支付宝账务明细\n" +
		"商户订单号,业务类型,订单金额\n" +
		fmt.Sprintf("`%s,交易,19.99\n", strings.ReplaceAll(right.String(), "-", "")) +
		fmt.Sprintf("%s,交易,\"1,010.00\"\n", wrong) +
		fmt.Sprintf("%s,交易,3.00\n", open) +
		fmt.Sprintf("%s,交易,5\n", stranger) +
		fmt.Sprintf("%s,退款,-2.50\n", right) +
		"nonsense,交易,1.00\n" +
		fmt.Sprintf("%s,交易,1.999\n", right) +
		"#合计,,99.00\n"
	lines, bad, err := reconcile.ReadSettlement(strings.NewReader(file), columns)
	require.NoError(t, err)
	require.Len(t, lines, 5)
	require.Len(t, bad, 2)
	require.Equal(t, reconcile.Line{Number: 3, PaymentID: right, Amount: money.Money{Amount: 1999, Currency: "CNY"}}, lines[0])
	from, to := b.window()
	report, err := b.room.Settle(t.Context(), "alipay", lines, bad, from, to)
	require.NoError(t, err)
	require.Equal(t, []string{"settlement_refund"}, kinds(report.Differences, right.String()))
	require.Equal(t, []string{"settlement_amount"}, kinds(report.Differences, wrong.String()))
	require.Equal(t, []string{"settlement_missing"}, kinds(report.Differences, missing.String()))
	require.Equal(t, []string{"settlement_not_applied"}, kinds(report.Differences, open.String()))
	require.Equal(t, []string{"settlement_unknown"}, kinds(report.Differences, stranger.String()))
	require.Equal(t, []string{"settlement_unknown"}, kinds(report.Differences, "nonsense"))
	require.Equal(t, []string{"settlement_line_invalid"}, kinds(report.Differences, "line 9"))
	require.Len(t, report.Differences, 7)
}

func TestASettlementFileWithoutItsColumnsIsRefused(t *testing.T) {
	t.Parallel()
	_, _, err := reconcile.ReadSettlement(strings.NewReader("a,b\n1,2\n"), columns)
	require.ErrorContains(t, err, "商户订单号")
}

func FuzzReadSettlement(f *testing.F) {
	f.Add("商户订单号,订单金额\n0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2,1.00\n")
	f.Add("\"商户订单号\",订单金额\n\"")
	f.Fuzz(func(t *testing.T, file string) {
		lines, _, err := reconcile.ReadSettlement(strings.NewReader(file), columns)
		if err != nil {
			return
		}
		for _, line := range lines {
			require.GreaterOrEqual(t, line.Amount.Amount, int64(0))
		}
	})
}
