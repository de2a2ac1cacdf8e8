-- name: OrderLockStock :many
-- Locks the stock rows in product order: the first lock of every transaction that takes several.
select p.id, p.sku, p.name, p.kind, p.status, p.price_amount, p.price_currency, p.order_ttl_seconds, s.available, s.low_stock_at
from stock s
join products p on p.id = s.product_id
where p.sku = any(@skus::text[])
order by s.product_id
for update of s;

-- name: OrderIDsByIdempotencyKey :many
-- One look into the unique index for each key, whatever the planner thinks of the table.
select o.id, o.api_key_id, o.idempotency_key::text as idempotency_key, o.request_hash::bytea as request_hash,
       coalesce(o.first_expires_at, o.expires_at)::timestamptz as first_expires_at
from (select unnest(@api_key_ids::uuid[]) as api_key_id, unnest(@keys::text[]) as key) k
cross join lateral (
    select known.id, known.api_key_id, known.idempotency_key, known.request_hash, known.first_expires_at, known.expires_at
    from orders known
    where known.api_key_id = k.api_key_id and known.idempotency_key = k.key
    limit 1
) as o;

-- name: OrderInsert :exec
insert into orders (id, number, currency, total_amount, contact_sealed, contact_masked, phone_fingerprint,
                    email_fingerprint, ip_fingerprint, locale, metadata, api_key_id, idempotency_key, request_hash,
                    traceparent, placed_at, expires_at)
select id, number, currency, total_amount, contact_sealed, contact_masked, phone_fingerprint,
       email_fingerprint, ip_fingerprint, locale, metadata, api_key_id, nullif(idempotency_key, ''), request_hash, traceparent,
       @placed_at::timestamptz, expires_at
from (select unnest(@ids::uuid[]) as id,
             unnest(@numbers::text[]) as number,
             unnest(@currencies::text[]) as currency,
             unnest(@total_amounts::bigint[]) as total_amount,
             unnest(@contacts_sealed::bytea[]) as contact_sealed,
             unnest(@contacts_masked::json[]) as contact_masked,
             unnest(@phone_fingerprints::bytea[]) as phone_fingerprint,
             unnest(@email_fingerprints::bytea[]) as email_fingerprint,
             unnest(@ip_fingerprints::bytea[]) as ip_fingerprint,
             unnest(@locales::text[]) as locale,
             unnest(@metadata::json[]) as metadata,
             unnest(@api_key_ids::uuid[]) as api_key_id,
             unnest(@idempotency_keys::text[]) as idempotency_key,
             unnest(@request_hashes::bytea[]) as request_hash,
             unnest(@traceparents::text[]) as traceparent,
             unnest(@expires_at::timestamptz[]) as expires_at) as placed;

-- name: OrderItemInsert :exec
insert into order_items (order_id, line, product_id, sku, name, kind, quantity, unit_price_amount)
select unnest(@order_ids::uuid[]), unnest(@lines::int[]), unnest(@product_ids::uuid[]), unnest(@skus::text[]),
       unnest(@names::text[]), unnest(@kinds::text[]), unnest(@quantities::int[]), unnest(@unit_price_amounts::bigint[]);

-- name: OrderTakeStock :exec
update stock s
set available = s.available - taken.quantity
from (select unnest(@product_ids::uuid[]) as product_id, unnest(@quantities::bigint[]) as quantity) as taken
where s.product_id = taken.product_id;

-- name: OrderExists :one
select exists (select from orders where id = @id);

-- name: OrderByIDs :many
select id, number, status, payment_status, fulfillment_status, hold_reason, exception_code, currency, total_amount,
       paid_amount, refunded_amount, contact_masked, locale, metadata, sequence, traceparent, placed_at, expires_at, paid_at,
       completed_at, closed_at, coalesce(first_expires_at, expires_at)::timestamptz as first_expires_at
from orders
where id = any(@ids::uuid[]);

-- name: OrderLockByIDs :many
-- Locks the orders in id order: the second lock, after stock. "no key" lets the foreign keys of others (a ledger's, a
-- payment's) be checked meanwhile; two who change an order still wait for each other.
select id, number, status, payment_status, fulfillment_status, hold_reason, exception_code, currency, total_amount,
       paid_amount, refunded_amount, contact_masked, locale, metadata, sequence, traceparent, placed_at, expires_at, paid_at,
       completed_at, closed_at, coalesce(first_expires_at, expires_at)::timestamptz as first_expires_at
from orders
where id = any(@ids::uuid[])
order by id
for no key update;

-- name: OrderItemsByOrderIDs :many
select order_id, line, product_id, sku, name, kind, quantity, fulfilled_quantity, refunded_quantity, returned_quantity,
       unit_price_amount
from order_items
where order_id = any(@order_ids::uuid[])
order by order_id, line;

-- name: OrderSave :exec
-- Writes what a step may change, for orders that the same transaction has locked. The guard is the sequence they were read
-- at: whoever saves an order that has moved on since changes no row, and the transaction fails. The zero time stands for null.
with saved as (
    update orders o
    set status = n.status, payment_status = n.payment_status, fulfillment_status = n.fulfillment_status,
        hold_reason = nullif(n.hold_reason, ''), exception_code = nullif(n.exception_code, ''), paid_amount = n.paid_amount,
        refunded_amount = n.refunded_amount, sequence = n.sequence, expires_at = n.expires_at, paid_at = n.paid_at,
        completed_at = n.completed_at, closed_at = n.closed_at,
        first_expires_at = case when n.expires_at <> o.expires_at then coalesce(o.first_expires_at, o.expires_at) else o.first_expires_at end
    from (select unnest(@ids::uuid[]) as id,
                 unnest(@read_at::int[]) as read_at,
                 unnest(@statuses::text[]) as status,
                 unnest(@payment_statuses::text[]) as payment_status,
                 unnest(@fulfillment_statuses::text[]) as fulfillment_status,
                 unnest(@hold_reasons::text[]) as hold_reason,
                 unnest(@exception_codes::text[]) as exception_code,
                 unnest(@paid_amounts::bigint[]) as paid_amount,
                 unnest(@refunded_amounts::bigint[]) as refunded_amount,
                 unnest(@sequences::int[]) as sequence,
                 unnest(@expires_at::timestamptz[]) as expires_at,
                 nullif(unnest(@paid_at::timestamptz[]), '0001-01-01 00:00:00+00') as paid_at,
                 nullif(unnest(@completed_at::timestamptz[]), '0001-01-01 00:00:00+00') as completed_at,
                 nullif(unnest(@closed_at::timestamptz[]), '0001-01-01 00:00:00+00') as closed_at) as n
    where o.id = n.id and (o.sequence = n.read_at) is true
    returning 1
)
select expect_rows(count(*), cardinality(@ids::uuid[])) from saved;

-- name: OrderTimelineInsert :exec
insert into order_timeline (order_id, sequence, event, status, payment_status, fulfillment_status, actor, reason,
                            traceparent, at)
select unnest(@order_ids::uuid[]), unnest(@sequences::int[]), unnest(@events::text[]), unnest(@statuses::text[]),
       unnest(@payment_statuses::text[]), unnest(@fulfillment_statuses::text[]), unnest(@actors::text[]),
       unnest(@reasons::text[]), unnest(@traceparents::text[]), @at::timestamptz;

-- name: OrderTimeline :many
select sequence, event, status, payment_status, fulfillment_status, actor, reason, traceparent, at
from order_timeline
where order_id = @order_id
order by sequence;

-- name: OrderPlacedBy :one
select o.placed_at, o.traceparent, coalesce((select k.prefix from api_keys k where k.id = o.api_key_id), 'unknown')::text as key_prefix
from orders o
where o.id = @id;

-- name: OrderDue :many
-- The unpaid orders whose time is over, the oldest first, by the index on them. No lock: whoever ends them looks again.
select id, expires_at
from orders
where payment_status = 'unpaid' and status in ('pending_payment', 'on_hold') and expires_at <= @now::timestamptz
  and (expires_at, id) > (@after_time::timestamptz, @after_id::uuid)
order by expires_at, id
limit @max_rows;

-- name: OrderStanding :many
-- How the orders stand, without a lock: what has to be locked before them depends on it.
select id, status, expires_at
from orders
where id = any(@ids::uuid[]);

-- name: OrderProducts :many
select distinct product_id
from order_items
where order_id = any(@order_ids::uuid[]);

-- name: OrderLockFree :many
-- As OrderLockByIDs, but orders that somebody else is at are left to them.
select id, number, status, payment_status, fulfillment_status, hold_reason, exception_code, currency, total_amount,
       paid_amount, refunded_amount, contact_masked, locale, metadata, sequence, traceparent, placed_at, expires_at, paid_at,
       completed_at, closed_at, coalesce(first_expires_at, expires_at)::timestamptz as first_expires_at
from orders
where id = any(@ids::uuid[])
order by id
for no key update skip locked;

-- name: OrderCardsPromised :many
-- The cards that orders on their way to delivery will take, by product.
select i.product_id, sum(i.quantity - i.fulfilled_quantity - i.returned_quantity)::bigint as due
from orders o
join order_items i on i.order_id = o.id
where o.status = 'processing' and i.kind = 'card' and (i.product_id = any(@product_ids::uuid[])) is true
group by i.product_id;

-- name: OrderCardsOwed :many
-- The products of whose cards orders wait that were paid before a time.
select distinct i.product_id
from orders o
join order_items i on i.order_id = o.id
where o.status = 'processing' and o.paid_at < @paid_before::timestamptz and i.kind = 'card'
  and (i.product_id = any(@product_ids::uuid[])) is true;

-- name: OrderHeldFor :many
-- Paid orders that wait for goods, in the order in which they were placed, without those of which it can be seen that one
-- line's cards, or the units to be reserved for it, are not there, or that its product is off sale. Each look stops where it has
-- found enough.
select o.id
from orders o
where o.status = 'on_hold' and o.id > @after::uuid and (o.hold_reason = any(@reasons::text[])) is true
  and not exists (
    select from order_items i
    where i.order_id = o.id and (
        i.kind = 'card' and i.quantity - i.fulfilled_quantity - i.returned_quantity > (
            select count(*) from (
                select from cards c
                where c.product_id = i.product_id and c.state = 'available'
                  and (c.expires_at is null or c.expires_at > @now::timestamptz)
                limit i.quantity) as found)
        or i.quantity - i.fulfilled_quantity - i.returned_quantity > 0
            and (select p.status from products p where p.id = i.product_id) <> 'active'
        or o.hold_reason = 'late_payment_no_stock' and i.quantity - i.fulfilled_quantity - i.returned_quantity > (
            select s.available from stock s where s.product_id = i.product_id)))
order by o.id
limit @max_rows;

-- name: OrderItemsRefund :exec
update order_items i
set refunded_quantity = i.refunded_quantity + n.refunded, returned_quantity = i.returned_quantity + n.returned
from (select unnest(@order_ids::uuid[]) as order_id, unnest(@lines::int[]) as line,
             unnest(@refunded::int[]) as refunded, unnest(@returned::int[]) as returned) as n
where i.order_id = n.order_id and i.line = n.line;

-- name: OrderMatching :many
-- Those of a few orders that match a search. The ids say where to look and every other condition only filters, written
-- so that no index of its own is chosen for it.
select id, number, status, payment_status, fulfillment_status, hold_reason, exception_code, currency, total_amount,
       paid_amount, refunded_amount, contact_masked, locale, metadata, sequence, traceparent, placed_at, expires_at, paid_at,
       completed_at, closed_at, coalesce(first_expires_at, expires_at)::timestamptz as first_expires_at
from orders o
where o.id = any(@ids::uuid[])
  and (@number::text = '' or o.number = @number::text)
  and (@status::text = '' or o.status = @status::text)
  and (sqlc.narg('phone_fingerprint')::bytea is null or o.phone_fingerprint = sqlc.narg('phone_fingerprint')::bytea)
  and (sqlc.narg('email_fingerprint')::bytea is null or o.email_fingerprint = sqlc.narg('email_fingerprint')::bytea)
  and (o.placed_at >= @placed_from::timestamptz and o.placed_at < @placed_to::timestamptz) is true
  and (sqlc.narg('product_id')::uuid is null
       or (select true from order_items i where i.order_id = o.id and i.product_id = sqlc.narg('product_id')::uuid limit 1))
order by o.id desc
limit @max_rows;

-- The ways into a search: each gives ids, the newest first, along one index. Rows are compared as a whole, since only
-- that index can do it: two bounds on the id alone look so narrow to the planner that it takes the primary key instead.

-- name: OrderIDs :many
select id from orders where id < @before::uuid and id >= @since::uuid order by id desc limit @max_rows;

-- name: OrderIDsByStatus :many
select id from orders
where (status, id) < (@status::text, @before::uuid) and (status, id) >= (@status::text, @since::uuid)
order by status desc, id desc
limit @max_rows;

-- name: OrderIDsByPhone :many
select id from orders
where phone_fingerprint is not null
  and (phone_fingerprint, id) < (@fingerprint::bytea, @before::uuid) and (phone_fingerprint, id) >= (@fingerprint::bytea, @since::uuid)
order by phone_fingerprint desc, id desc
limit @max_rows;

-- name: OrderIDsByEmail :many
select id from orders
where email_fingerprint is not null
  and (email_fingerprint, id) < (@fingerprint::bytea, @before::uuid) and (email_fingerprint, id) >= (@fingerprint::bytea, @since::uuid)
order by email_fingerprint desc, id desc
limit @max_rows;

-- name: OrderIDsByProduct :many
-- Each once, though the product may stand on several lines.
select order_id from order_items
where (product_id, order_id) < (@product_id::uuid, @before::uuid) and (product_id, order_id) >= (@product_id::uuid, @since::uuid)
group by product_id, order_id
order by product_id desc, order_id desc
limit @max_rows;

-- name: OrderIDsByNumber :many
select id from orders where number = @number and id < @before::uuid and id >= @since::uuid;

-- name: OrderIDsByPayment :many
-- What callers have of a payment: our id of it, or the gateway's of a notice. Another kind of reference is one more union.
select found.order_id::uuid as order_id
from (select p.order_id from payments p where p.id = sqlc.narg('payment_id')::uuid
      union
      select e.order_id from payment_events e where e.event_id = @reference) as found
where found.order_id < @before::uuid and found.order_id >= @since::uuid
order by found.order_id desc
limit @max_rows;
