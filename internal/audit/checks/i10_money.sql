-- Delivered is what the buyer has and may use: revoked cards are not, nor are units of a counted product that were refunded
-- after they were delivered. Open is what an order in progress has still to get.
with usable as (
    select d.order_id, d.line, count(*) as units
    from card_deliveries d
    join cards c on c.id = d.card_id and c.state <> 'revoked'
    group by d.order_id, d.line
), lines as (
    select i.order_id, i.unit_price_amount as price, i.quantity, i.refunded_quantity as refunded,
           i.quantity - i.fulfilled_quantity - i.returned_quantity as due,
           case i.kind when 'card' then coalesce(u.units, 0)
                       else i.fulfilled_quantity - (i.refunded_quantity - i.returned_quantity) end as has
    from order_items i
    left join usable u on u.order_id = i.order_id and u.line = i.line
), sums as (
    select order_id, sum(price * quantity) as total, sum(price * has) as delivered, sum(price * refunded) as refunded,
           sum(price * due) as due
    from lines
    group by order_id
), asked as (
    select order_id, sum(amount) as amount from refunds group by order_id
), money as (
    select o.id, o.payment_status, o.total_amount, o.paid_amount, o.refunded_amount, s.total, s.delivered, s.refunded,
           coalesce(a.amount, 0) as asked, case when o.status in ('processing', 'on_hold') then s.due else 0 end as open
    from orders o
    join sums s on s.order_id = o.id
    left join asked a on a.order_id = o.id
)
select id::text as id, 'the lines do not add up to the order''s total' as what, total_amount::text as expected, total::text as actual
from money
where total <> total_amount
union all
select id::text, 'paid is not delivered + refunded + open', paid_amount::text,
       format('%s + %s + %s = %s', delivered, refunded_amount, open, delivered + refunded_amount + open)
from money
where payment_status <> 'unpaid' and total = total_amount and paid_amount <> delivered + refunded_amount + open
union all
select id::text, 'refunded is not what its units cost', refunded::text, refunded_amount::text
from money
where refunded <> refunded_amount
union all
select id::text, 'refunded is not the sum of its refunds', refunded_amount::text, asked::text
from money
where asked <> refunded_amount
union all
select id::text, 'payment status does not say what was refunded', format('%s of %s', refunded_amount, paid_amount), payment_status
from money
where payment_status <> 'unpaid'
  and payment_status <> case when refunded_amount = 0 then 'paid' when refunded_amount < paid_amount then 'partially_refunded' else 'refunded' end
union all
select id::text, 'unpaid order holds money', '0', paid_amount::text
from money
where payment_status = 'unpaid' and (paid_amount <> 0 or refunded_amount <> 0)
