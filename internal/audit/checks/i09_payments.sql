select p.order_id::text as id, 'order has several payments that succeeded' as what, 'one' as expected, count(*)::text as actual
from payments p
where p.status = 'succeeded'
group by p.order_id
having count(*) > 1
union all
select e.payment_id::text, 'payment was applied several times', 'once', count(*)::text
from payment_events e
where e.outcome in ('applied', 'late_payment')
group by e.payment_id
having count(*) > 1
union all
select p.id::text, 'payment succeeded over another amount than the order''s', o.total_amount || ' ' || o.currency, p.amount || ' ' || p.currency
from payments p
join orders o on o.id = p.order_id
where p.status = 'succeeded' and (p.amount <> o.total_amount or p.currency <> o.currency)
union all
select e.channel || ' ' || e.event_id, 'notice was applied over another amount than its payment''s', p.amount || ' ' || p.currency,
       e.amount || ' ' || e.currency
from payment_events e
join payments p on p.id = e.payment_id
where e.outcome in ('applied', 'late_payment') and (e.amount <> p.amount or e.currency <> p.currency)
union all
select e.channel || ' ' || e.event_id, 'notice of another account was applied', p.account, e.account
from payment_events e
join payments p on p.id = e.payment_id
where e.outcome in ('applied', 'late_payment') and (e.channel <> p.channel or e.account <> p.account)
union all
select e.channel || ' ' || e.event_id, 'notice was applied and its payment has not succeeded', 'succeeded', coalesce(p.status, 'no payment')
from payment_events e
left join payments p on p.id = e.payment_id
where e.outcome in ('applied', 'late_payment') and p.status is distinct from 'succeeded'
union all
select e.channel || ' ' || e.event_id, 'money in doubt does not show on its order', e.outcome, 'no exception code'
from payment_events e
join orders o on o.id = e.order_id
where e.outcome not in ('applied', 'repeated', 'ignored') and o.exception_code is null
union all
select o.id::text, 'order was paid and went back to unpaid', 'paid', 'unpaid'
from orders o
where o.paid_at is not null and o.payment_status = 'unpaid'
