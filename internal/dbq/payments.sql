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
select id, order_id, channel, account, status, amount, currency, coalesce(reference, '')::text as reference,
    coalesce(confirmation, '')::text as confirmation
from payments
where id = any(@ids::uuid[])
order by id
for no key update;

-- name: PaymentSave :exec
update payments p
set status = n.status, succeeded_at = case when n.status = 'succeeded' then coalesce(p.succeeded_at, @now::timestamptz) end, ask_at = null,
    reference = coalesce(nullif(n.reference, ''), p.reference), confirmation = nullif(n.confirmation, '')
from (select unnest(@ids::uuid[]) as id, unnest(@statuses::text[]) as status, unnest(@refs::text[]) as reference,
             unnest(@confirmations::text[]) as confirmation) as n
where p.id = n.id;

-- name: PaymentsInDoubtOf :many
-- Which attempts of orders have brought money that was not applied.
select id, order_id from payments where order_id = any(@order_ids::uuid[]) and status = 'exception';

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

-- name: PaymentEventInsert :exec
-- A notice that another process has recorded meanwhile is not inserted, and the transaction fails.
with inserted as (
    insert into payment_events (id, channel, account, event_id, payment_id, order_id, type, amount, currency, outcome, body, occurred_at, received_at)
    select id, @channel, account, event_id, payment_id, order_id, type, amount, currency, outcome, body, occurred_at, @received_at::timestamptz
    from (select unnest(@ids::uuid[]) as id,
                 unnest(@accounts::text[]) as account,
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
    returning 1
)
select expect_rows(count(*), cardinality(@ids::uuid[]), '40001') from inserted;

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

-- name: PaymentIDs :many
-- A page of attempts, and of the notices that belong to none. Each channel and each status is looked up by itself, along
-- payments_list, and so is the list of channels: as many looks as there are channels, whatever there is in the table.
with recursive channels as (
    (select p.channel from payments p order by p.channel limit 1)
    union all
    select (select p.channel from payments p where p.channel > c.channel order by p.channel limit 1)
    from channels c
    where c.channel is not null
)
select page.id::uuid as id
from (select attempt.id
      from channels c
      cross join (select unnest(@statuses::text[]) as status) as s
      cross join lateral (
          select p.id
          from payments p
          where (p.channel, p.status, p.id) < (c.channel, s.status, @before::uuid)
            and (p.channel, p.status, p.id) >= (c.channel, s.status, '00000000-0000-0000-0000-000000000000'::uuid)
          order by p.channel desc, p.status desc, p.id desc
          limit @max_rows
      ) as attempt
      where c.channel is not null and (@channel::text = '' or c.channel = @channel::text)
      union all
      (select e.id
       from payment_events e
       where e.outcome not in ('applied', 'repeated', 'ignored')
         and (e.outcome, e.id) < ('unmatched', @before::uuid)
         and (e.outcome, e.id) >= ('unmatched', '00000000-0000-0000-0000-000000000000'::uuid)
         and @unmatched::boolean and (@channel::text = '' or e.channel = @channel::text)
       order by e.outcome desc, e.id desc
       limit @max_rows)) as page
order by page.id desc
limit @max_rows;

-- name: PaymentIDsOfOrder :many
-- A page of an order's attempts, which are few.
select p.id
from payments p
where p.order_id = @order_id and p.id < @before::uuid
  and (@channel::text = '' or p.channel = @channel::text)
  and (@status::text = '' or p.status = @status::text)
  and (cardinality(@outcomes::text[]) = 0
       or exists (select from payment_events e where e.payment_id = p.id and e.outcome = any(@outcomes::text[])))
order by p.id desc
limit @max_rows;

-- name: PaymentExceptionIDs :many
-- A page of payments by their latest notice with one of the outcomes: an old attempt's comes where a person looks first.
select found.id::uuid as id, found.payment_id
from (select unnest(@outcomes::text[]) as outcome) as o
cross join lateral (
    select e.id, e.payment_id
    from payment_events e
    where e.outcome not in ('applied', 'repeated', 'ignored')
      and (e.outcome, e.id) < (o.outcome, @before::uuid)
      and (e.outcome, e.id) >= (o.outcome, '00000000-0000-0000-0000-000000000000'::uuid)
      and (@channel::text = '' or e.channel = @channel::text)
      and (@status::text = ''
           or coalesce((select p.status from payments p where p.id = e.payment_id), 'exception') = @status::text)
      and (select later.id
           from payment_events later
           where later.payment_id = e.payment_id and later.outcome = any(@outcomes::text[]) and later.id > e.id
           limit 1) is null
    order by e.outcome desc, e.id desc
    limit @max_rows
) as found
order by found.id desc
limit @max_rows;

-- name: PaymentByIDs :many
select id, order_id, channel, account, status, created_at, succeeded_at, amount, currency,
    coalesce(confirmation, '')::text as confirmation
from payments
where id = any(@ids::uuid[]);

-- name: PaymentExceptions :many
-- The notices that need a person: those of some attempts, and some of those that belong to none. Never their bodies.
select e.id, e.channel, e.account, e.event_id, e.payment_id, e.type, e.amount, e.currency, e.outcome, e.occurred_at, e.received_at
from payment_events e
where e.payment_id = any(@ids::uuid[]) and (e.outcome not in ('applied', 'repeated', 'ignored')) is true
union all
select e.id, e.channel, e.account, e.event_id, e.payment_id, e.type, e.amount, e.currency, e.outcome, e.occurred_at, e.received_at
from payment_events e
where e.outcome = 'unmatched' and e.outcome not in ('applied', 'repeated', 'ignored') and e.id = any(@ids::uuid[])
order by id;
