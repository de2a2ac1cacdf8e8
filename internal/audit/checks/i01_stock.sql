-- Reserved is what open orders have still to get; an order that is held for late money holds none. What
-- was delivered is the cards' state, or for a counted product the lines' own count.
with imported as (
    select product_id, sum(delta) as n from stock_movements group by product_id
), reserved as (
    select i.product_id, sum(i.quantity - i.fulfilled_quantity - i.returned_quantity) as n
    from orders o
    join order_items i on i.order_id = o.id
    where o.status in ('pending_payment', 'on_hold', 'processing') 
      and coalesce(o.hold_reason, '') not in ('late_payment_no_stock', 'late_payment_canceled')
    group by i.product_id
), fulfilled as (
    select product_id, sum(fulfilled_quantity) as n from order_items where kind = 'counted' group by product_id
), held as (
    select product_id, count(*) filter (where state = 'available') as available,
           count(*) filter (where state = 'delivered') as delivered, count(*) filter (where state = 'revoked') as revoked,
           count(*) filter (where state = 'disabled') as disabled
    from cards
    group by product_id
), units as (
    select p.sku, p.kind, s.available, coalesce(m.n, 0) as imported, coalesce(r.n, 0) as reserved,
           case p.kind when 'card' then coalesce(h.delivered, 0) else coalesce(f.n, 0) end as delivered,
           coalesce(h.revoked, 0) as revoked, coalesce(h.disabled, 0) as disabled, coalesce(h.available, 0) as on_shelf
    from products p
    left join stock s on s.product_id = p.id
    left join imported m on m.product_id = p.id
    left join reserved r on r.product_id = p.id
    left join fulfilled f on f.product_id = p.id
    left join held h on h.product_id = p.id
)
select sku as id, 'available + reserved + delivered + revoked + disabled is not what was imported' as what, imported::text as expected,
       format('%s + %s + %s + %s + %s = %s', available, reserved, delivered, revoked, disabled,
              available + reserved + delivered + revoked + disabled) as actual
from units
where available is not null and available + reserved + delivered + revoked + disabled <> imported
union all
select sku, 'available is not what the shelf holds less what is reserved', format('%s - %s = %s', on_shelf, reserved, on_shelf - reserved),
       available::text
from units
where kind = 'card' and available <> on_shelf - reserved
union all
select sku, 'available is negative, or there is no stock row', 'at least 0', coalesce(available::text, 'none')
from units
where coalesce(available, -1) < 0
