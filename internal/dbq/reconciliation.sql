-- name: ReconcileStuck :many
-- What should have moved on by itself and has not, in the words of an operator. Each part has its index: orders by status,
-- refunds by status, the exceptions of the inbox by their time.
select 'paid_undelivered'::text as kind, o.id::text as subject, 'paid and not delivered'::text as what,
       'completed'::text as expected, (o.status || coalesce(' (' || o.hold_reason || ')', ''))::text as actual
from orders o
where o.status in ('processing', 'on_hold') and o.payment_status <> 'unpaid' and o.paid_at < @stuck_since::timestamptz
union all
select 'refund_open', r.id::text, 'refund has not ended', 'succeeded', r.status
from refunds r
where r.status in ('pending', 'unknown', 'manual', 'refused') and r.created_at < @stuck_since::timestamptz
union all
select 'money_in_doubt', coalesce(e.order_id::text, e.channel || ' ' || e.event_id), 'payment was recorded and not applied: ' || e.outcome,
       'nothing, or a refund at the gateway', e.amount || ' ' || e.currency
from payment_events e
where e.outcome not in ('applied', 'repeated', 'ignored', 'late_payment')
  and e.received_at >= @from_time::timestamptz and e.received_at < @to_time::timestamptz;

-- name: ReconcilePayments :many
-- What was paid through a channel in a time, by our books.
select p.id, p.order_id, p.amount, p.currency, p.succeeded_at::timestamptz as succeeded_at,
       coalesce((select sum(r.amount) from refunds r where r.payment_id = p.id and r.status = 'succeeded'), 0)::bigint as refunded
from payments p
where p.channel = @channel and p.status = 'succeeded'
  and p.succeeded_at >= @from_time::timestamptz and p.succeeded_at < @to_time::timestamptz;

-- name: ReconcilePaymentsByID :many
select p.id, p.order_id, p.status, p.amount, p.currency
from payments p
where p.id = any(@ids::uuid[]) and p.channel = @channel;

-- name: ReconciliationSave :exec
-- What was seen before and is still open keeps its row.
insert into reconciliation_entries (id, scope, kind, subject, what, expected, actual, suggestion, first_seen_at, last_seen_at)
select id, @scope, kind, subject, what, expected, actual, suggestion, @seen_at::timestamptz, @seen_at::timestamptz
from (select unnest(@ids::uuid[]) as id, unnest(@kinds::text[]) as kind, unnest(@subjects::text[]) as subject,
             unnest(@whats::text[]) as what, unnest(@expected::text[]) as expected, unnest(@actual::text[]) as actual,
             unnest(@suggestions::text[]) as suggestion) as seen
on conflict (scope, kind, subject, what) where status = 'open'
do update set last_seen_at = excluded.last_seen_at, expected = excluded.expected, actual = excluded.actual;

-- name: ReconciliationGone :execrows
-- Whatever of a scope was not seen by the run at hand has been repaired.
update reconciliation_entries
set status = 'gone', closed_at = @seen_at::timestamptz
where scope = @scope and status = 'open' and last_seen_at < @seen_at::timestamptz;

-- name: ReconciliationList :many
select id, scope, kind, subject, what, expected, actual, suggestion, status, first_seen_at, last_seen_at, closed_at, closed_by, note
from reconciliation_entries
where status = @status and id < @before::uuid
order by id desc
limit @max_rows;

-- name: ReconciliationResolve :one
update reconciliation_entries
set status = 'resolved', closed_at = @now::timestamptz, closed_by = @actor, note = @note
where id = @id and status = 'open'
returning id, scope, kind, subject, what, expected, actual, suggestion, status, first_seen_at, last_seen_at, closed_at, closed_by, note;
