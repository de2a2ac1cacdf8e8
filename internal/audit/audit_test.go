package audit_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/audit"
	"github.com/vendbox/vendbox/internal/pgtest"
)

func TestHealthyIsClean(t *testing.T) {
	t.Parallel()
	b, delivered := healthy(t)
	report := b.audit(t)
	require.True(t, report.OK(), "%s", table(t, report))
	require.Len(t, report.Checks, 12)
	require.Equal(t, "completed", b.text(t, fmt.Sprintf(`select status from orders where id = '%s'`, delivered)))
}

func TestEmptyIsClean(t *testing.T) {
	t.Parallel()
	report, err := audit.Run(t.Context(), pgtest.New(t))
	require.NoError(t, err)
	require.True(t, report.OK(), "%s", table(t, report))
}

// What is under way is no offence, however long ago it began, as long as somebody will see to it.
func TestUnderWayIsClean(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"not relayed yet": `
			with job as (insert into river_job (kind, queue, args, max_attempts, state)
				select distinct on (epoch, txid) 'relay', 'relay', jsonb_build_object('epoch', epoch, 'txid', txid::text), 25,
				       'retryable'::river_job_state from outbox)
			delete from webhook_deliveries; delete from fulfillments; delete from river_job where kind = 'deliver_order'`,
		"a worker is at it": `update river_job set state = 'running', attempted_by = '{x}', attempted_at = now() -
			interval '1 hour'`,
		"waits for its assessment": `update river_job set kind = 'assess_order' where kind = 'deliver_order'`,
		"its assessment waits for a person": `
			update river_job set kind = 'assess_order' where kind = 'deliver_order';
			update river_job set state = 'discarded', finalized_at = now() where kind = 'assess_order'`,
		"waits for a person": `update river_job set state = 'discarded', finalized_at = now() where kind in
			('deliver_order', 'deliver_webhook')`,
		"the endpoint was changed since": `delete from webhook_deliveries; update webhook_endpoints set updated_at = now()`,
		"old partitions are gone": `
			select outbox_make_partitions(date '2001-01-01', date '2001-01-02');
			update orders set placed_at = '2001-01-01 12:00+00', expires_at = '2001-01-01 13:00+00'`,
		"the rescuers are away": `
			update river_job set state = 'running', attempted_by = '{x}', attempted_at = now() - interval '1 hour';
			insert into worker_heartbeats values ('dead', now() - interval '1 hour', now() - interval '30 minutes')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := healthy(t)
			b.exec(t, sql)
			report := b.audit(t)
			require.True(t, report.OK(), "%s", table(t, report))
		})
	}
}

// Each corruption is named by exactly the promise it breaks, with the row that breaks it.
func TestCorruptions(t *testing.T) {
	t.Parallel()
	const (
		delivered = `(select id from orders where status = 'completed')`
		unpaid    = `(select id from orders where status = 'pending_payment')`
		onShelf   = `(select max(id::text)::uuid from cards where state = 'available')`
		gone      = `(select min(card_id::text)::uuid from card_deliveries)`
	)
	for name, tc := range map[string]struct {
		promise string
		sql     string
		id      string // a query for the offender's id, asked first
		what    string
	}{
		"stock lost": {
			promise: "I1",
			sql:     `update stock set available = available - 1 where product_id = (select id from products where sku = 'count')`,
			id:      `select 'count'`,
			what:    "is not what was imported",
		},
		"stock made up": {
			promise: "I1",
			sql:     `update stock set available = available + 1 where product_id = (select id from products where sku = 'card')`,
			id:      `select 'card'`,
			what:    "less what is reserved",
		},
		"oversold": {
			promise: "I1",
			sql: `alter table stock drop constraint stock_not_oversold; update stock set available = -1 where product_id = (select id
				from products where sku = 'count')`,
			id:   `select 'count'`,
			what: "negative",
		},
		"no stock constraint": {
			promise: "I1",
			sql:     `alter table stock drop constraint stock_not_oversold`,
			id:      `select 'stock.stock_not_oversold'`,
			what:    "missing",
		},

		"card sold twice": {
			promise: "I2",
			sql:     `alter table card_deliveries drop constraint card_deliveries_card_key; update card_deliveries set card_id = ` + gone,
			id:      `select ` + gone + `::text`,
			what:    "several units",
		},
		"sold card on the shelf": {
			promise: "I2",
			sql: `update cards set state = 'available' where id = ` + gone + `; update cards set state = 'delivered' where id =
				` + onShelf,
			id:   `select ` + gone + `::text`,
			what: "can be sold and belongs",
		},
		"card of nobody": {
			promise: "I2",
			sql: `update cards set state = 'available' where id = ` + gone + `; update cards set state = 'delivered' where id =
				` + onShelf,
			id:   `select ` + onShelf + `::text`,
			what: "belongs to no order",
		},
		"trigger of a key": {
			promise: "I3",
			sql:     `alter table card_deliveries disable trigger all`,
			id:      `select 'card_deliveries.card_deliveries_card_id_fkey'`,
			what:    "without effect",
		},

		"line without its cards": {
			promise: "I3",
			sql:     `update order_items set fulfilled_quantity = 1 where kind = 'card' and order_id = ` + delivered,
			id:      `select id || ' line 1' from orders where status = 'completed'`,
			what:    "does not hold",
		},
		"delivered, status not": {
			promise: "I3",
			sql: `alter table orders drop constraint orders_completed_is_fulfilled; update orders set fulfillment_status = 'unfulfilled'
				where status = 'completed'`,
			id:   `select ` + delivered + `::text`,
			what: "not what was delivered",
		},
		"two orders, one key": {
			promise: "I4",
			sql: `drop index orders_idempotency_key; update orders set idempotency_key = 'k', request_hash = sha256('x'), api_key_id =
				'00000000-0000-0000-0000-000000000001' where status in ('completed', 'on_hold')`,
			id:   `select ` + delivered + `::text`,
			what: "shares",
		},
		"index replaced": {
			promise: "I4",
			sql:     `drop index orders_idempotency_key; create index orders_idempotency_key on orders (api_key_id, idempotency_key)`,
			id:      `select 'orders.orders_idempotency_key'`,
			what:    "missing",
		},
		"paid out of nothing": {
			promise: "I5",
			sql:     `delete from payment_events where outcome = 'applied' and order_id = ` + delivered,
			id:      `select ` + delivered + `::text`,
			what:    "no notice",
		},
		"acknowledged and lost": {
			promise: "I5",
			sql: `alter table payment_events drop constraint payment_events_order_id_fkey; update payment_events set order_id =
				'00000000-0000-0000-0000-000000000001' where outcome = 'applied' and order_id = ` + delivered,
			id:   `select 'sandbox ' || event_id from payment_events where outcome = 'applied' and order_id = ` + delivered,
			what: "is not paid",
		},
		"event lost": {
			promise: "I6",
			sql:     `delete from outbox where type = 'order.completed'`,
			id:      `select ` + delivered + `::text`,
			what:    "not that of the order's last change",
		},
		"event doubled": {
			promise: "I6",
			sql: `insert into outbox select gen_random_uuid(), aggregatetype, aggregateid, type, payload, headers, seq, txid, epoch,
				sequence, now() from outbox where type = 'order.completed'`,
			id:   `select ` + delivered + `::text`,
			what: "not that of the order's last change",
		},
		"order without an event": {
			promise: "I6",
			sql:     `delete from outbox where aggregateid = (select id::text from orders where status = 'pending_payment')`,
			id:      `select ` + unpaid + `::text`,
			what:    "no order.created",
		},
		"status without an event": {
			promise: "I6",
			sql: `update orders set status = 'canceled', closed_at = now() where status = 'pending_payment';
				update stock set available = available + 1 where product_id = (select id from products where sku = 'card')`,
			id:   `select ` + unpaid + `::text`,
			what: "not in the state",
		},
		"event not relayed": {
			promise: "I7",
			sql:     `delete from fulfillments where order_id = ` + delivered,
			id:      `select ` + delivered + `::text`,
			what:    "has not become a delivery",
		},
		"job lost": {
			promise: "I7",
			sql:     `update fulfillments set created_at = now() - interval '2 minutes'; delete from river_job where kind = 'deliver_order'`,
			id:      `select id::text from orders where status = 'processing'`,
			what:    "nothing is at it",
		},
		"assessment lost": {
			promise: "I7",
			sql: `update river_job set kind = 'assess_order' where kind = 'deliver_order'; update fulfillments set created_at = now() -
				interval '2 minutes'; delete from river_job where kind = 'assess_order'`,
			id:   `select id::text from orders where status = 'processing'`,
			what: "nothing is at it",
		},
		"held for risk, and not assessed": {
			promise: "I7",
			sql:     `update orders set hold_reason = 'risk' where status = 'on_hold'`,
			id:      `select id::text from orders where status = 'on_hold'`,
			what:    "its assessment does not say so",
		},
		"text not relayed": {
			promise: "I7",
			sql: `insert into sms_templates (id, event_type, locale, body, updated_at) values (gen_random_uuid(), 'order.completed',
				'en', 'Hi', now() - interval '1 hour')`,
			id:   `select id::text from outbox where type = 'order.completed'`,
			what: "text message",
		},
		"ledger without its key": {
			promise: "I7",
			sql:     `alter table fulfillments drop constraint fulfillments_pkey`,
			id:      `select 'fulfillments.fulfillments_pkey'`,
			what:    "missing",
		},
		"delivery forgotten": {
			promise: "I8",
			sql:     `delete from webhook_deliveries where event_type = 'order.completed'`,
			id:      `select id::text from outbox where type = 'order.completed'`,
			what:    "wants it",
		},
		"delivery without a job": {
			promise: "I8",
			sql: `delete from river_job where kind = 'deliver_webhook' and args ->> 'delivery_id' = (select id::text from
				webhook_deliveries where event_type = 'order.completed')`,
			id:   `select id::text from webhook_deliveries where event_type = 'order.completed'`,
			what: "nothing is at it",
		},
		"delivery of an old round": {
			promise: "I8",
			sql:     `update webhook_deliveries set round = 2 where event_type = 'order.completed'`,
			id:      `select id::text from webhook_deliveries where event_type = 'order.completed'`,
			what:    "nothing is at it",
		},
		"success without answer": {
			promise: "I8",
			sql: `update webhook_deliveries set status = 'succeeded', next_attempt_at = null, finished_at = now() where event_type =
				'order.completed'`,
			id:   `select id::text from webhook_deliveries where event_type = 'order.completed'`,
			what: "2xx",
		},
		"applied another amount": {
			promise: "I9",
			sql:     `update payment_events set amount = amount + 1 where outcome = 'applied' and order_id = ` + delivered,
			id:      `select 'sandbox ' || event_id from payment_events where outcome = 'applied' and order_id = ` + delivered,
			what:    "another amount",
		},
		"another account": {
			promise: "I9",
			sql:     `update payment_events set account = 'theirs' where outcome = 'applied' and order_id = ` + delivered,
			id:      `select 'sandbox ' || event_id from payment_events where outcome = 'applied' and order_id = ` + delivered,
			what:    "another account",
		},
		"another currency": {
			promise: "I9",
			sql:     `update payments set currency = 'USD' where status = 'succeeded' and order_id = ` + delivered,
			id:      `select id::text from payments where status = 'succeeded' and order_id = ` + delivered,
			what:    "another amount than the order's",
		},
		"paid twice": {
			promise: "I9",
			sql: `drop index payments_applied_once; update payments set status = 'succeeded', succeeded_at = now() where status =
				'exception' and order_id = ` + delivered,
			id:   `select ` + delivered + `::text`,
			what: "several payments",
		},
		"money hidden": {
			promise: "I9",
			sql:     `update orders set exception_code = null where status = 'completed'`,
			id:      `select 'sandbox ' || event_id from payment_events where outcome = 'second_payment'`,
			what:    "does not show",
		},
		"price changed later": {
			promise: "I10",
			sql:     `update order_items set unit_price_amount = 1 where order_id = ` + delivered,
			id:      `select ` + delivered + `::text`,
			what:    "do not add up",
		},
		"refund without revoking": {
			promise: "I10",
			sql:     `update orders set payment_status = 'refunded', refunded_amount = paid_amount where status = 'completed'`,
			id:      `select ` + delivered + `::text`,
			what:    "paid is not",
		},
		"money without an order": {
			promise: "I10",
			sql:     `alter table orders drop constraint orders_paid_in_full; update orders set paid_amount = 1 where status = 'completed'`,
			id:      `select ` + delivered + `::text`,
			what:    "paid is not",
		},
		"trigger disabled": {
			promise: "I11",
			sql:     `alter table river_job disable trigger failed_jobs_note`,
			id:      `select 'river_job.failed_jobs_note'`,
			what:    "without effect",
		},
		"failure unnoticed": {
			promise: "I11",
			sql: `insert into river_job (kind, queue, args, state, attempt, max_attempts, finalized_at) values ('x', 'x', '{}',
				'discarded', 1, 1, now() - interval '1 hour')`,
			id:   `select null::text`,
			what: "nobody was told",
		},
		"orphan": {
			promise: "I11",
			sql: `update river_job set state = 'running', attempted_by = '{x}', attempted_at = now() - interval '1 hour' where kind =
				'deliver_order' and args ->> 'order_id' = (select id::text from orders where status = 'processing'); insert into
				worker_heartbeats values ('alive', now() - interval '1 hour', now())`,
			id: `select id::text from river_job where kind = 'deliver_order' and args ->> 'order_id' = (select id::text from orders where
				status = 'processing')`,
			what: "not given back",
		},
		"signing secret": {
			promise: "I12",
			sql: `update river_job set metadata = '{"s": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}' where kind = 'deliver_order' and args
				->> 'order_id' = (select id::text from orders where status = 'processing')`,
			id: `select 'river_job ' || id from river_job where kind = 'deliver_order' and args ->> 'order_id' = (select id::text from
				orders where status = 'processing')`,
			what: "signing secret",
		},
		"API key": {
			promise: "I12",
			sql:     `update outbox set headers = '{"k": "vb_0a1b2c3d_0123456789abcdefghjkmnpqrstvwxyz"}' where type = 'order.completed'`,
			id:      `select 'outbox ' || id from outbox where type = 'order.completed'`,
			what:    "an API key",
		},
		"telephone number": {
			promise: "I12",
			sql:     `update webhook_deliveries set last_error = 'GET /?to=%2B8613800138000' where event_type = 'order.completed'`,
			id:      `select 'webhook_deliveries ' || id from webhook_deliveries where event_type = 'order.completed'`,
			what:    "telephone",
		},
		"contact": {
			promise: "I12",
			sql:     `update orders set contact_masked = '{"phone":"13800138000"}' where status = 'completed'`,
			id:      `select 'orders ' || ` + delivered,
			what:    "not masked",
		},
		"card in the clear": {
			promise: "I12",
			sql:     `update cards set sealed = 'A-1' where id = ` + gone,
			id:      `select 'cards ' || ` + gone,
			what:    "not sealed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := healthy(t)
			var id *string
			require.NoError(t, b.pool.QueryRow(t.Context(), tc.id).Scan(&id))
			b.unchecked(t, tc.sql)
			report := b.audit(t)
			require.False(t, report.OK())
			for _, check := range report.Checks {
				require.Equal(t, check.ID != tc.promise, check.OK(), "%s\n%s", check.ID, table(t, report))
				if check.ID != tc.promise {
					continue
				}
				require.True(t, names(check, id, tc.what), "%v", table(t, report))
			}
		})
	}
}

func TestManyOffenders(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	_, err := pool.Exec(t.Context(), `insert into river_job (kind, queue, args, state, max_attempts)
		select 'x', 'x', '{"to":"+8613800138000"}', 'available', 1 from generate_series(1, 50)`)
	require.NoError(t, err)
	report, err := audit.Run(t.Context(), pool)
	require.NoError(t, err)
	check := report.Checks[11]
	require.Equal(t, "I12", check.ID)
	require.Equal(t, 50, check.Count)
	require.Len(t, check.Offenders, audit.MaxOffenders)
	text := table(t, report)
	require.Contains(t, text, "50 BROKEN")
	require.Contains(t, text, "… and 30 more")
	require.NotContains(t, text, "13800138000", "the report itself tells no secret")

	body, err := json.Marshal(report)
	require.NoError(t, err)
	require.Contains(t, string(body), `{"id":"I12","title":"no secret in plain text"`)
	require.Contains(t, string(body), `"offenders":[],"count":0`)
}
