-- What was acknowledged and then lost leaves no trace that SQL could find by itself; only the tests that kill processes
-- and Postgres prove this promise. What can be seen is one half without the other: a paid order, and the notice of its
-- payment that was acknowledged to the gateway.
with applied as (
    select order_id from payment_events where outcome in ('applied', 'late_payment') and order_id is not null
)
select o.id::text as id, 'order is paid and there is no notice that was applied' as what, 'an applied notice' as expected,
       'none' as actual
from orders o
where o.payment_status <> 'unpaid' and not exists (select from applied a where a.order_id = o.id)
union all
select e.channel || ' ' || e.event_id, 'notice was applied and its order is not paid', 'paid', coalesce(o.payment_status, 'no order')
from payment_events e
left join orders o on o.id = e.order_id
where e.outcome in ('applied', 'late_payment') and (o.id is null or o.payment_status = 'unpaid')
