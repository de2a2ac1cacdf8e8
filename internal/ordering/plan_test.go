package ordering_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// history fills the tables with n orders, one a second and the last one now: half of them of one hot product, one in
// ten thousand of a rare one, the others of a hundred. Nine in ten are completed, none of the hot product is canceled, and
// one in ten thousand is on hold. Each has a payment with a notice, and each telephone number has ten orders.
func history(t *testing.T, pool *pgxpool.Pool, n int) {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	// A transaction each: a long one would hold back every other test's feed.
	for _, statement := range []string{
		`set session_replication_role = replica`, // foreign keys need not be checked one by one
		`create function id_at(at timestamptz, n int) returns uuid language sql immutable as $$
			select encode(set_bit(set_bit(overlay(uuid_send(md5(n::text)::uuid)
				placing substring(int8send((extract(epoch from at) * 1000)::bigint) from 3) from 1 for 6), 52, 1), 53, 1), 'hex')::uuid $$`,
		`insert into products (id, sku, name, kind, price_amount, price_currency)
			select md5('p' || k)::uuid, 'sku-' || k, 'Product', 'card', 100, 'CNY' from generate_series(0, 101) k`,
		`insert into stock (product_id, available) select id, 0 from products`,
		`create temp table placed as
			select k, id_at(now() - ($n - k) * interval '1 second', k) as id, now() - ($n - k) * interval '1 second' as at,
			       case when k % 2 = 0 then 0 when k % 10000 = 9999 then 101 else 1 + k % 97 end as product,
			       case when k % 10000 = 7 then 'on_hold' when k % 100 = 1 then 'pending_payment' when k % 20 = 3 then 'canceled'
			            when k % 25 = 9 then 'expired' else 'completed' end as status
			from generate_series(1, $n) k`,
		`insert into orders (id, number, status, payment_status, fulfillment_status, hold_reason, currency, total_amount, paid_amount,
		                     phone_fingerprint, locale, api_key_id, placed_at, expires_at, paid_at, completed_at, closed_at)
			select id, to_char(at, 'YYMMDD') || '-' || lpad(k::text, 10, '0'), status,
			       case status when 'completed' then 'paid' else 'unpaid' end,
			       case status when 'completed' then 'fulfilled' else 'unfulfilled' end,
			       case status when 'on_hold' then 'wrong_amount' end, 'CNY', 100, case status when 'completed' then 100 else 0 end,
			       decode(md5('phone' || k % ($n / 10)), 'hex'), 'en', md5('key')::uuid, at, at + interval '30 minutes',
			       case status when 'completed' then at end, case status when 'completed' then at end,
			       case when status in ('canceled', 'expired') then at end
			from placed`,
		`insert into order_items (order_id, line, product_id, sku, name, kind, quantity, unit_price_amount)
			select id, 1, md5('p' || product)::uuid, 'sku-' || product, 'Product', 'card', 1, 100 from placed`,
		`insert into payments (id, order_id, channel, account, status, amount, currency, succeeded_at)
			select id_at(at, -k), id, 'sandbox', 'default', case status when 'completed' then 'succeeded' else 'pending' end, 100, 'CNY',
			       case status when 'completed' then at end from placed`,
		`insert into payment_events (channel, account, event_id, payment_id, order_id, type, amount, currency, outcome, body, occurred_at)
			select 'sandbox', 'default', 'evt_' || k, id_at(at, -k), id, 'payment.succeeded', 100, 'CNY', 'applied', '', at from placed`,
		`drop table placed`,
		`reset session_replication_role`,
	} {
		statement = strings.ReplaceAll(statement, "$n", strconv.Itoa(n))
		_, err := conn.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	for _, table := range []string{"products", "stock", "orders", "order_items", "payments", "payment_events"} {
		_, err := pool.Exec(t.Context(), `vacuum (analyze) `+table) // as autovacuum would by now
		require.NoError(t, err)
	}
}

// benchOrders is how many orders a measurement works on: few, or as many as VENDBOX_BENCH_ORDERS says.
func benchOrders(tb testing.TB, few int) int {
	tb.Helper()
	text := os.Getenv("VENDBOX_BENCH_ORDERS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	require.NoError(tb, err)
	return n
}

// Each search goes along the index that is meant for it, and reads no table as a whole. The table of docs/performance.md:
//
//	VENDBOX_BENCH_ORDERS=1000000 go test -run SearchesHaveIndexes -v ./internal/ordering
func TestSearchesHaveIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := benchOrders(t, 24_000)
	history(t, b.pool, n)
	phone := make([]byte, 16)
	var paymentID uuid.UUID
	var number string
	var middle time.Time
	require.NoError(t, b.pool.QueryRow(t.Context(), `select o.phone_fingerprint, p.id, o.number, o.placed_at from payment_events e
		join orders o on o.id = e.order_id join payments p on p.id = e.payment_id where e.event_id = $1`,
		fmt.Sprint("evt_", n/2)).Scan(&phone, &paymentID, &number, &middle))

	explained := pgtest.Explain(t, b.pool)
	var table strings.Builder
	for _, c := range []struct {
		name   string
		p      ordering.ListParams
		orders int    // how many it finds at least
		index  string // of the first look
	}{
		{"all", ordering.ListParams{}, 20, "orders_pkey"},
		{"all, from the middle on", ordering.ListParams{PlacedTo: middle}, 20, "orders_pkey"},
		{"number", ordering.ListParams{Number: strings.ToLower(number)}, 1, "orders_number_key"},
		{"payment, our id", ordering.ListParams{Payment: paymentID.String()}, 1, "payments_pkey"},
		{"payment, event id", ordering.ListParams{Payment: fmt.Sprint("evt_", n/2)}, 1, "payment_events_pkey"},
		{"contact", ordering.ListParams{PhoneFingerprint: phone}, 10, "orders_phone"},
		{"contact, SKU, status", ordering.ListParams{PhoneFingerprint: phone, SKU: "sku-0", Status: "completed"}, 1, "orders_phone"},
		{"status, common", ordering.ListParams{Status: "completed"}, 20, "orders_status"},
		{"status, rare", ordering.ListParams{Status: "on_hold"}, 2, "orders_status"},
		{"status and an hour", ordering.ListParams{
			Status: "completed", PlacedFrom: middle.Add(-time.Hour), PlacedTo: middle,
		}, 20, "orders_status"},
		{"SKU, hot", ordering.ListParams{SKU: "sku-0"}, 20, "order_items_product"},
		{"SKU, rare", ordering.ListParams{SKU: "sku-101"}, 2, "order_items_product"},
		{"SKU and an hour", ordering.ListParams{SKU: "sku-0", PlacedFrom: middle.Add(-time.Hour), PlacedTo: middle}, 20, "order_items_product"},
		{"SKU, hot, on hold", ordering.ListParams{SKU: "sku-0", Status: "on_hold"}, 0, "orders_status"},
		{"SKU, canceled", ordering.ListParams{SKU: "sku-3", Status: "canceled"}, 5, "order_items_product"},
		{"SKU, hot, canceled: none in 10,000", ordering.ListParams{SKU: "sku-0", Status: "canceled"}, 0, "order_items_product"},
	} {
		orders, _, err := ordering.List(t.Context(), explained, c.p)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(orders), c.orders, c.name)
		seen := explained.Plans()
		plans := fmt.Sprint(seen)
		require.Contains(t, plans, c.index, c.name)
		require.NotContains(t, plans, "Seq Scan", c.name)
		require.NotContains(t, plans, "Sort Key: orders.id", "the ids come in order: %s", c.name)
		fmt.Fprintf(&table, "| %s | `%s` | %d | %d | %d | %.1f |\n", c.name, c.index, len(orders), len(seen),
			seen.Buffers(), b.median(t, c.p).Seconds()*1000)
	}
	t.Logf("%d orders\n| search | along | found | statements | buffers | ms |\n|---|---|---|---|---|---|\n%s", n, table.String())
	b.owed(t, explained)
	b.rareSearch(t, n/2)
}

// owed is asked in each transaction that pays: it looks at the few orders in progress, and not at all of a hot product.
func (b *bundle) owed(t *testing.T, explained *pgtest.Explainer) {
	t.Helper()
	var hot uuid.UUID
	require.NoError(t, b.pool.QueryRow(t.Context(), `select id from products where sku = 'sku-0'`).Scan(&hot))
	_, err := b.pool.Exec(t.Context(), `update orders set status = 'processing', completed_at = null, fulfillment_status = 'unfulfilled'
		where id = (select o.id from orders o join order_items i on i.order_id = o.id where i.sku = 'sku-0' and o.status = 'completed' limit 1)`)
	require.NoError(t, err)
	products, err := dbq.New(explained).OrderCardsOwed(t.Context(), dbq.OrderCardsOwedParams{
		PaidBefore: time.Now().Add(time.Minute), ProductIds: []uuid.UUID{hot},
	})
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{hot}, products)
	seen := explained.Plans()
	require.Contains(t, fmt.Sprint(seen), "orders_status")
	require.Less(t, seen.Buffers(), 100, "%v", seen)
}

// rareSearch makes the oldest order of the hot product the only canceled one. Finding it takes several calls, each of
// which says how far it has come.
func (b *bundle) rareSearch(t *testing.T, hot int) {
	t.Helper()
	var oldest uuid.UUID
	require.NoError(t, b.pool.QueryRow(t.Context(), `update orders
		set status = 'canceled', closed_at = now(), payment_status = 'unpaid', paid_amount = 0, fulfillment_status = 'unfulfilled'
		where id = (select order_id from order_items where sku = 'sku-0' order by order_id limit 1)
		returning id`).Scan(&oldest))
	p := ordering.ListParams{SKU: "sku-0", Status: "canceled", Limit: 5}
	var found []uuid.UUID
	calls := 0
	for calls == 0 || p.Cursor != "" {
		page, next, err := ordering.List(t.Context(), b.pool, p)
		require.NoError(t, err)
		for _, o := range page {
			found = append(found, o.ID)
		}
		p.Cursor = next
		calls++
	}
	require.Equal(t, []uuid.UUID{oldest}, found)
	require.Greater(t, calls, 1, "none is canceled among the newest 10,000")
	require.LessOrEqual(t, calls, 1+hot/10_000)
}

// median is how long a search takes, of 11.
func (b *bundle) median(t *testing.T, p ordering.ListParams) time.Duration {
	t.Helper()
	took := make([]time.Duration, 11)
	for i := range took {
		began := time.Now()
		_, _, err := ordering.List(t.Context(), b.pool, p)
		require.NoError(t, err)
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[len(took)/2]
}
