-- name: FulfillmentInsert :many
-- The ledger of the hop: each event has its order delivered once, for good.
-- In the order of the key, or two who enlist the same orders would wait for each other.
insert into fulfillments (order_id, event_id)
select order_id, event_id
from (select unnest(@order_ids::uuid[]) as order_id, unnest(@event_ids::uuid[]) as event_id) as paid
order by order_id, event_id
on conflict (order_id, event_id) do nothing
returning order_id;

-- name: CardClaim :many
-- The cards that expire first go first. Cards that another transaction is claiming are passed over.
select c.id, c.product_id
from (select unnest(@product_ids::uuid[]) as product_id, unnest(@quantities::bigint[]) as quantity) as wanted
cross join lateral (
    select cards.id, cards.product_id
    from cards
    where cards.product_id = wanted.product_id and cards.state = 'available'
      and (cards.expires_at is null or cards.expires_at > @now::timestamptz)
    order by cards.expires_at nulls last, cards.id
    limit wanted.quantity
    for update skip locked
) as c;

-- name: CardDeliver :exec
update cards set state = 'delivered' where id = any(@ids::uuid[]);

-- name: CardDeliveryInsert :exec
insert into card_deliveries (order_id, line, unit, card_id, delivered_at)
select unnest(@order_ids::uuid[]), unnest(@lines::int[]), unnest(@units::int[]), unnest(@card_ids::uuid[]), @delivered_at::timestamptz;

-- name: OrderItemFulfill :exec
update order_items set fulfilled_quantity = quantity - returned_quantity where order_id = any(@order_ids::uuid[]);

-- name: CardsOfOrder :many
select d.line, d.unit, i.sku, c.id, c.sealed, c.expires_at
from card_deliveries d
join order_items i on i.order_id = d.order_id and i.line = d.line
join cards c on c.id = d.card_id
where d.order_id = @order_id and c.state = 'delivered'
order by d.line, d.unit;

-- name: CardRevealInsert :exec
insert into card_reveals (order_id, actor, request_id, cards, revealed_at)
values (@order_id, @actor, @request_id, @cards, @revealed_at);

-- name: CardCount :many
-- How many of the wanted cards there are, counting those that another transaction is claiming.
select wanted.product_id::uuid as product_id,
       (select count(*) from (
            select 1 from cards
            where cards.product_id = wanted.product_id and cards.state = 'available'
              and (cards.expires_at is null or cards.expires_at > @now::timestamptz)
            limit wanted.quantity) as found) as available
from (select unnest(@product_ids::uuid[]) as product_id, unnest(@quantities::bigint[]) as quantity) as wanted;

-- name: CardRevokeUnits :execrows
-- The last units of a line that can still be used lose their cards: these are never sold again.
update cards c
set state = 'revoked'
from (select unnest(@order_ids::uuid[]) as order_id, unnest(@lines::int[]) as line, unnest(@quantities::int[]) as quantity) as n
cross join lateral (
    select d.card_id
    from card_deliveries d
    join cards on cards.id = d.card_id and (cards.state = 'delivered') is true
    where d.order_id = n.order_id and d.line = n.line
    order by d.unit desc
    limit n.quantity
) as d
where c.id = d.card_id;

-- name: FulfillmentForgotten :many
-- Paid orders that nobody is delivering, or assessing before that: their job is gone, and no person has it among the failed ones. Where the ledger
-- has no row yet, the relay is given longer. An order that is delivered meanwhile costs a job that does nothing.
select o.id, o.traceparent
from orders o
where o.status = 'processing' and o.paid_at < @relayed_before::timestamptz
  and (o.paid_at < @paid_before::timestamptz or exists (select from fulfillments f where f.order_id = o.id))
  and not exists (select from river_job j
                  where j.state in ('available', 'pending', 'retryable', 'running', 'scheduled')
                    and j.kind in ('deliver_order', 'assess_order') and j.args ->> 'order_id' = o.id::text)
  and not exists (select from failed_jobs j
                  where j.status = 'open' and j.kind in ('deliver_order', 'assess_order') and j.args ->> 'order_id' = o.id::text)
order by o.id
limit @max_rows;
