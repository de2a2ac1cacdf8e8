-- name: ReconcileStuck :many
-- What should have moved on by itself and has not, in the words of an operator. Each part has its index: orders by status,
-- refunds by status, notices by outcome. Each notice is a matter of its own.
select 'paid_undelivered'::text as kind, o.id::text as subject, 'paid and not delivered'::text as what,
       'completed'::text as expected, (o.status || coalesce(' (' || o.hold_reason || ')', ''))::text as actual
from orders o
where o.status in ('processing', 'on_hold') and o.payment_status <> 'unpaid' and o.paid_at < @stuck_since::timestamptz
union all
select 'refund_open', r.id::text, 'refund has not ended', 'succeeded', r.status
from refunds r
where r.status in ('pending', 'unknown', 'manual', 'refused') and r.created_at < @stuck_since::timestamptz
union all
select 'money_in_doubt', coalesce(e.order_id::text, e.channel || ' ' || e.event_id),
       'payment was recorded and not applied: ' || e.outcome || ', notice ' || e.event_id || ' of ' || e.channel,
       'nothing, or a refund at the gateway', e.amount || ' ' || e.currency
from payment_events e
where e.outcome in ('wrong_amount', 'second_payment', 'order_closed', 'unmatched')
  and e.received_at >= @from_time::timestamptz and e.received_at < @to_time::timestamptz;

-- name: ReconcilePayments :many
-- What was paid through a channel in a time, by our books.
select p.id, p.amount, p.currency
from payments p
where p.channel = @channel and p.status = 'succeeded'
  and p.succeeded_at >= @from_time::timestamptz and p.succeeded_at < @to_time::timestamptz;

-- name: ReconcileChannelKnown :one
select exists (select from payments where channel = @channel);

-- name: ReconcileRefunds :many
-- What was given back through a channel in a time, by our books.
select r.payment_id, r.currency, sum(r.amount)::bigint as amount
from refunds r
join payments p on p.id = r.payment_id
where r.status = 'succeeded' and r.finished_at >= @from_time::timestamptz and r.finished_at < @to_time::timestamptz
  and (p.channel = @channel) is true
group by r.payment_id, r.currency;

-- name: ReconcilePaymentsByID :many
select p.id, p.order_id, p.status, p.amount, p.currency
from payments p
where p.id = any(@ids::uuid[]) and p.channel = @channel;

-- name: ReconciliationSave :many
-- What was seen before and is still open keeps its row. Facts that will never change, once a person has resolved them, are not
-- opened again. Gives those that are open now.
insert into reconciliation_entries (id, scope, kind, subject, what, expected, actual, suggestion, first_seen_at, last_seen_at)
select id, @scope, kind, subject, what, expected, actual, suggestion, @seen_at::timestamptz, @seen_at::timestamptz
from (select unnest(@ids::uuid[]) as id, unnest(@kinds::text[]) as kind, unnest(@subjects::text[]) as subject,
             unnest(@whats::text[]) as what, unnest(@expected::text[]) as expected, unnest(@actual::text[]) as actual,
             unnest(@suggestions::text[]) as suggestion) as seen
where not exists (select from reconciliation_entries r
                  where r.status = 'resolved' and r.scope = @scope and r.kind = seen.kind and r.subject = seen.subject
                    and r.what = seen.what and (r.kind = 'money_in_doubt' or r.kind like 'settlement%'))
on conflict (scope, kind, subject, what) where status = 'open'
do update set last_seen_at = excluded.last_seen_at, expected = excluded.expected, actual = excluded.actual
returning kind, subject, what;

-- name: ReconciliationGone :execrows
-- Whatever of a scope was not seen by the run at hand has been repaired; but money in doubt is looked for in a time only, and
-- stays until a person says what became of it.
update reconciliation_entries
set status = 'gone', closed_at = @seen_at::timestamptz
where scope = @scope and status = 'open' and last_seen_at < @seen_at::timestamptz and kind <> 'money_in_doubt';

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
