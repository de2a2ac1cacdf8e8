-- name: RefundInsert :exec
insert into refunds (id, order_id, payment_id, amount, currency, status, reason, actor, idempotency_key, created_at)
values (@id, @order_id, @payment_id, @amount, @currency, @status, @reason, @actor, nullif(@idempotency_key::text, ''), @created_at);

-- name: RefundItemsInsert :exec
insert into refund_items (refund_id, line, quantity, returned)
select @refund_id::uuid, unnest(@lines::int[]), unnest(@quantities::int[]), unnest(@returned::int[]);

-- name: RefundByKey :one
select id, order_id, payment_id, amount, currency, status, reason, actor, reference, error, created_at, finished_at
from refunds
where order_id = @order_id and idempotency_key = @idempotency_key::text;

-- name: RefundGet :one
select id, order_id, payment_id, amount, currency, status, reason, actor, reference, error, created_at, finished_at
from refunds
where id = @id;

-- name: RefundItems :many
select line, quantity, returned
from refund_items
where refund_id = @refund_id
order by line;

-- name: RefundList :many
select id, order_id, payment_id, amount, currency, status, reason, actor, reference, error, created_at, finished_at
from refunds
where id < @before::uuid
order by id desc
limit @max_rows;

-- name: RefundListByStatus :many
select id, order_id, payment_id, amount, currency, status, reason, actor, reference, error, created_at, finished_at
from refunds
where status = @status and id < @before::uuid
order by id desc
limit @max_rows;

-- name: RefundListByOrder :many
select id, order_id, payment_id, amount, currency, status, reason, actor, reference, error, created_at, finished_at
from refunds
where order_id = @order_id and id < @before::uuid and (@status::text = '' or status = @status::text)
order by id desc
limit @max_rows;

-- name: RefundEnlist :many
-- The ledger of the hop: each refund that a gateway is to do gets its job once.
update refunds
set enlisted_at = @now::timestamptz
where order_id = any(@order_ids::uuid[]) and (status = 'pending' and enlisted_at is null) is true
returning id;

-- name: RefundToDo :one
select r.id, r.amount, r.currency, r.status, r.reason, r.order_id, p.id as payment_id, p.channel, p.account,
       p.amount as paid_amount, coalesce(p.reference, '')::text as payment_reference, o.number, o.traceparent, o.locale
from refunds r
join payments p on p.id = r.payment_id
join orders o on o.id = r.order_id
where r.id = @id;

-- name: RefundSettle :execrows
-- From one of some statuses only. The gateway's id stays known when a later answer does not name it.
update refunds
set status = @status, reference = coalesce(nullif(@reference::text, ''), reference), error = @error,
    finished_at = nullif(@finished_at::timestamptz, '0001-01-01 00:00:00+00')
where id = @id and (status = any(@before::text[])) is true;

-- name: RefundForgotten :many
-- Refunds that a gateway is to do and that nobody is at: their job is gone, or was never made, and no person has it among
-- the failed ones, or has put it aside there: money that was given back in another way must not go again.
select r.id
from refunds r
where r.status in ('pending', 'unknown') and r.created_at < @made_before::timestamptz
  and not exists (select from river_job j
                  where j.state in ('available', 'pending', 'retryable', 'running', 'scheduled')
                    and j.kind = 'refund_payment' and j.args ->> 'refund_id' = r.id::text)
  and not exists (select from failed_jobs j
                  where j.status in ('open', 'resolved', 'discarded') and j.kind = 'refund_payment' and j.args ->> 'refund_id' = r.id::text)
order by r.id
limit @max_rows
for no key update of r skip locked;

-- name: RefundEnlisted :exec
-- A relay that is only late shall not make a second job.
update refunds set enlisted_at = @now::timestamptz where id = any(@ids::uuid[]) and (enlisted_at is null) is true;
