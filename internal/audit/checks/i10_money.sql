-- Delivered is what the buyer has and may use: revoked cards are not. Open is what an order in progress has still to get.
-- An order that was refunded in part says how much, not which units, so only the bounds can be checked there.
with usable as (
    select d.order_id, d.line, count(*) as units
    from card_deliveries d
    join cards c on c.id = d.card_id and c.state <> 'revoked'
    group by d.order_id, d.line
), sums as (
    select i.order_id, sum(i.quantity * i.unit_price_amount) as total,
           sum(i.unit_price_amount * case i.kind when 'card' then coalesce(u.units, 0) else i.fulfilled_quantity end) as delivered,
           sum(i.unit_price_amount * (i.quantity - case i.kind when 'card' then coalesce(u.units, 0) else i.fulfilled_quantity end)) as rest,
           coalesce(sum(i.unit_price_amount * u.units), 0) as in_cards
    from order_items i
    left join usable u on u.order_id = i.order_id and u.line = i.line
    group by i.order_id
), money as (
    select o.id, o.payment_status, o.total_amount, o.paid_amount, o.refunded_amount, s.total, s.delivered, s.in_cards,
           case when o.status in ('processing', 'on_hold') then s.rest else 0 end as open
    from orders o
    join sums s on s.order_id = o.id
)
select id::text as id, 'the lines do not add up to the order''s total' as what, total_amount::text as expected, total::text as actual
from money
where total <> total_amount
union all
select id::text, 'paid is not delivered + refunded + open', paid_amount::text,
       format('%s + %s + %s = %s', delivered, refunded_amount, open, delivered + refunded_amount + open)
from money
where payment_status = 'paid' and total = total_amount and paid_amount <> delivered + refunded_amount + open
union all
select id::text, 'refunded in part, and the parts do not fit', 'more than 0 and at most ' || paid_amount || ' less the cards delivered',
       format('refunded %s, cards %s', refunded_amount, in_cards)
from money
where payment_status = 'partially_refunded'
  and (refunded_amount <= 0 or refunded_amount >= paid_amount or refunded_amount + in_cards > paid_amount)
union all
select id::text, 'refunded, but not what was paid, or the cards can still be used', paid_amount || ', cards 0',
       format('%s, cards %s', refunded_amount, in_cards)
from money
where payment_status = 'refunded' and (refunded_amount <> paid_amount or in_cards > 0)
union all
select id::text, 'unpaid order holds money', '0', paid_amount::text
from money
where payment_status = 'unpaid' and (paid_amount <> 0 or refunded_amount <> 0)
