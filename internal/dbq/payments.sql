-- name: PaymentInsert :exec
insert into payments (id, order_id, channel, account, amount, currency, created_at, ask_at)
select id, order_id, channel, account, amount, currency, created_at, nullif(ask_at, '0001-01-01 00:00:00+00')
from (select unnest(@ids::uuid[]) as id, unnest(@order_ids::uuid[]) as order_id, unnest(@channels::text[]) as channel,
             unnest(@accounts::text[]) as account, unnest(@amounts::bigint[]) as amount,
             unnest(@currencies::text[]) as currency, unnest(@created_at::timestamptz[]) as created_at,
             unnest(@ask_at::timestamptz[]) as ask_at) as attempt
order by order_id;

-- name: PaymentOrderIDs :many
select id, order_id from payments where id = any(@ids::uuid[]) and channel = @channel;

-- name: PaymentLockByIDs :many
-- The third lock, after stock and orders.
select id, order_id, channel, account, status, amount, currency
from payments
where id = any(@ids::uuid[])
order by id
for no key update;

-- name: PaymentSave :exec
update payments p
set status = n.status, succeeded_at = case when n.status = 'succeeded' then @now::timestamptz end, ask_at = null,
    reference = coalesce(nullif(n.reference, ''), p.reference)
from (select unnest(@ids::uuid[]) as id, unnest(@statuses::text[]) as status, unnest(@refs::text[]) as reference) as n
where p.id = n.id;

-- name: PaymentSetReference :exec
-- A notice that was faster than the gateway's answer knows better: it names the payment, the answer what was to become one.
update payments set reference = @reference::text where id = @id and reference is null;

-- name: PaymentEventsKnown :many
-- One look into the key for each: joined in another way, a planner that knows nothing of the table reads all of a
-- channel's events.
select e.account, e.event_id, e.order_id
from (select unnest(@accounts::text[]) as account, unnest(@event_ids::text[]) as event_id) as noticed
cross join lateral (
    select known.account, known.event_id, known.order_id
    from payment_events known
    where known.channel = @channel and known.account = noticed.account and known.event_id = noticed.event_id
    limit 1
) as e;

-- name: PaymentEventInsert :many
-- A notice that another process has recorded meanwhile is not returned.
insert into payment_events (channel, account, event_id, payment_id, order_id, type, amount, currency, outcome, body, occurred_at, received_at)
select @channel, account, event_id, payment_id, order_id, type, amount, currency, outcome, body, occurred_at, @received_at::timestamptz
from (select unnest(@accounts::text[]) as account,
             unnest(@event_ids::text[]) as event_id,
             nullif(unnest(@payment_ids::uuid[]), '00000000-0000-0000-0000-000000000000') as payment_id,
             nullif(unnest(@order_ids::uuid[]), '00000000-0000-0000-0000-000000000000') as order_id,
             unnest(@types::text[]) as type,
             unnest(@amounts::bigint[]) as amount,
             unnest(@currencies::text[]) as currency,
             unnest(@outcomes::text[]) as outcome,
             unnest(@bodies::bytea[]) as body,
             unnest(@occurred_at::timestamptz[]) as occurred_at) as notice
order by account, event_id
on conflict (channel, account, event_id) do nothing
returning event_id;

-- name: PaymentsToAsk :many
-- Takes attempts whose gateways are due to be asked, and puts off the next time: by as much as they are old, so that it
-- doubles; for good after two days. Two processes never take the same.
with due as (
    select id, @now::timestamptz as asked_at
    from payments
    where ask_at <= @now::timestamptz and channel = any(@channels::text[])
    order by ask_at
    limit @max_rows
    for no key update skip locked
)
update payments p
set ask_at = case when p.created_at > due.asked_at - interval '2 days' then due.asked_at + (due.asked_at - p.created_at) end
from due, orders o
where p.id = due.id and o.id = p.order_id
returning p.id, p.order_id, p.channel, p.account, p.amount, p.currency, o.number, o.expires_at,
    coalesce(p.reference, '')::text as reference;

-- name: PaymentsOpenOf :many
-- The attempts of orders that gateways can be asked about.
select p.id, p.order_id, p.channel, p.account, p.amount, p.currency, o.number, o.expires_at,
    coalesce(p.reference, '')::text as reference
from payments p
join orders o on o.id = p.order_id
where p.order_id = any(@order_ids::uuid[]) and p.status = 'pending' and p.ask_at is not null;

-- name: PaymentThatPaid :one
select id, channel, account, amount, currency
from payments
where order_id = @order_id and status = 'succeeded';
