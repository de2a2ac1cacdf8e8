package audit_test

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/audit"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// BenchmarkRun audits a shop of 10,000 delivered orders, or of as many as VENDBOX_BENCH_ORDERS says, each with one card,
// three events, a job and three webhook deliveries:
//
//	VENDBOX_BENCH_ORDERS=100000 go test -run '^$' -bench Run -benchtime 1x ./internal/audit
func BenchmarkRun(b *testing.B) {
	orders := 10_000
	if text := os.Getenv("VENDBOX_BENCH_ORDERS"); text != "" {
		var err error
		orders, err = strconv.Atoi(text)
		require.NoError(b, err)
	}
	pool := pgtest.New(b)
	for _, sql := range shop {
		_, err := pool.Exec(b.Context(), sql, orders)
		require.NoError(b, err, sql)
	}
	for b.Loop() {
		report, err := audit.Run(context.WithoutCancel(b.Context()), pool)
		require.NoError(b, err)
		require.True(b, report.OK(), "%v", report)
		for _, check := range report.Checks {
			b.ReportMetric(float64(check.Took.Milliseconds()), check.ID+"_ms")
		}
	}
}

// id makes an id of a number, so that rows can name each other.
const id = `lpad(to_hex(n), 32, '0')::uuid`

var shop = []string{
	`insert into products (id, sku, name, kind, price_amount, price_currency)
		select ` + id + `, 'sku-' || n, 'Product', 'card', 100, 'CNY' from generate_series(0, least($1::int, 10) - 1) n`,
	`insert into stock (product_id) select id from products where $1::int > 0`,
	`insert into stock_movements (id, product_id, delta, reason, actor)
		select gen_random_uuid(), lpad(to_hex(n % 10), 32, '0')::uuid, count(*), 'import', 'bench'
		from generate_series(0, $1::int - 1) n group by n % 10`,
	`insert into card_imports (id, product_id, status, format, actor, finished_at)
		select id, id as product_id, 'completed', 'text', 'bench', now() from products where $1::int > 0`,
	`insert into cards (id, product_id, import_id, state, fingerprint, sealed)
		select ` + id + `, lpad(to_hex(n % 10), 32, '0')::uuid, lpad(to_hex(n % 10), 32, '0')::uuid, 'delivered',
			decode(lpad(to_hex(n), 32, '0'), 'hex'), '\x01'::bytea || convert_to(repeat('x', 50), 'UTF8')
		from generate_series(0, $1::int - 1) n`,
	`insert into orders (id, number, status, payment_status, fulfillment_status, currency, total_amount, paid_amount,
			contact_masked, phone_fingerprint, locale, api_key_id, idempotency_key, request_hash, sequence,
			placed_at, expires_at, paid_at, completed_at)
		select ` + id + `, n::text, 'completed', 'paid', 'fulfilled', 'CNY', 100, 100, '{"phone":"+86*******8000"}',
			decode(repeat('00', 16), 'hex'), 'en', '00000000-0000-0000-0000-000000000000', n::text, sha256('x'), 3,
			now() - interval '1 hour', p.at, now(), p.at
		from generate_series(0, $1::int - 1) n, (select now() as at) as p`,
	`insert into order_items (order_id, line, product_id, sku, name, kind, quantity, fulfilled_quantity, unit_price_amount)
		select ` + id + `, 1, lpad(to_hex(n % 10), 32, '0')::uuid, 'sku', 'Product', 'card', 1, 1, 100
		from generate_series(0, $1::int - 1) n`,
	`insert into card_deliveries (order_id, line, unit, card_id, delivered_at)
		select ` + id + `, 1, 1, ` + id + `, now() from generate_series(0, $1::int - 1) n`,
	`insert into fulfillments (order_id, event_id) select ` + id + `, ` + id + ` from generate_series(0, $1::int - 1) n`,
	`insert into payments (id, order_id, channel, account, status, amount, currency, succeeded_at)
		select ` + id + `, ` + id + `, 'sandbox', 'a', 'succeeded', 100, 'CNY', now() from generate_series(0, $1::int - 1) n`,
	`insert into payment_events (channel, account, event_id, payment_id, order_id, type, amount, currency, outcome, body, occurred_at)
		select 'sandbox', 'a', n::text, ` + id + `, ` + id + `, 'payment.succeeded', 100, 'CNY', 'applied', '', now()
		from generate_series(0, $1::int - 1) n`,
	`insert into outbox (id, aggregatetype, aggregateid, type, payload, headers, epoch, sequence, occurred_at)
		select lpad(to_hex(n * 4 + step), 32, '0')::uuid, 'order', (` + id + `)::text, 'order.' || (array['created', 'paid', 'completed'])[step],
			jsonb_build_object('id', ` + id + `, 'status', (array['pending_payment', 'processing', 'completed'])[step], 'sequence', step,
				'contact', json_build_object('phone', '+86*******8000'), 'items', json_build_array(json_build_object('sku', 'sku', 'name', 'Product')),
				'metadata', '{}'::json, 'locale', 'en', 'number', n, 'placed_at', now(), 'expires_at', now(), 'total', 100),
			'{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","locale":"en"}', 1, step, now() - interval '30 minutes'
		from generate_series(0, $1::int - 1) n, generate_series(1, 3) step`,
	`insert into webhook_endpoints (id, url, event_types, created_at, updated_at)
		select '00000000-0000-0000-0000-000000000000', 'https://example.com', '{order.*}', now() - interval '1 day', now() - interval '1 day'
		where $1::int > 0`,
	`insert into webhook_deliveries (id, event_id, event_occurred_at, event_type, endpoint_id, status, attempts, last_status_code, finished_at)
		select lpad(to_hex(n * 4 + step), 32, '0')::uuid, lpad(to_hex(n * 4 + step), 32, '0')::uuid, now() - interval '30 minutes', 'order.paid',
			'00000000-0000-0000-0000-000000000000', 'succeeded', 1, 200, now()
		from generate_series(0, $1::int - 1) n, generate_series(1, 3) step`,
	`insert into river_job (kind, queue, args, metadata, state, attempt, max_attempts, finalized_at)
		select 'deliver_order', 'cards', jsonb_build_object('order_id', ` + id + `),
			'{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}', 'completed', 1, 20, now()
		from generate_series(0, $1::int - 1) n`,
}
