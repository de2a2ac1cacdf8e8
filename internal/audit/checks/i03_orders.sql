with lines as (
    select i.order_id, i.line, i.kind, i.quantity, i.fulfilled_quantity, coalesce(d.units, 0) as units, coalesce(d.highest, 0) as highest
    from order_items i
    left join (select order_id, line, count(*) as units, max(unit) as highest
               from card_deliveries
               group by order_id, line) as d on d.order_id = i.order_id and d.line = i.line
), totals as (
    select order_id, sum(quantity - returned_quantity) as quantity, sum(fulfilled_quantity) as fulfilled
    from order_items
    group by order_id
)
select order_id || ' line ' || line as id, 'line does not hold the cards that it says' as what,
       format('%s of %s', fulfilled_quantity, quantity) as expected, format('%s cards, the last is unit %s', units, highest) as actual
from lines
where (kind = 'card' and (units <> fulfilled_quantity or highest > quantity)) or (kind = 'counted' and units > 0)
union all
select o.id::text, 'fulfillment status is not what was delivered', o.fulfillment_status,
       format('%s of %s units', coalesce(t.fulfilled, 0), coalesce(t.quantity, 0))
from orders o
left join totals t on t.order_id = o.id
where o.fulfillment_status is distinct from case when t.fulfilled > 0 and t.fulfilled = t.quantity then 'fulfilled'
                                                 when t.fulfilled > 0 then 'partially_fulfilled'
                                                 else 'unfulfilled' end
union all
select o.id::text, 'order is delivered and not paid', 'paid', o.payment_status
from orders o
where o.fulfillment_status <> 'unfulfilled' and o.payment_status = 'unpaid'
union all
select o.id::text, o.status || ' order holds cards', 'none that can be used', count(*)::text
from orders o
join card_deliveries d on d.order_id = o.id
join cards c on c.id = d.card_id and c.state <> 'revoked'
where o.status in ('canceled', 'expired')
group by o.id, o.status
