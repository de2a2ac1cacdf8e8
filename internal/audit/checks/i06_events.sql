-- Only orders that were placed since the day from which on every day's partition is kept: older events are gone.
with days as (
    select to_date(right(c.relname, 8), 'YYYYMMDD') as day
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'outbox'::regclass and c.relname ~ '^outbox_[0-9]{8}$'
), kept as (
    select coalesce(max(d.day), (select min(day) from days)) as since
    from days d
    where not exists (select from days earlier where earlier.day = d.day - 1)
      and d.day <= (now() at time zone 'UTC')::date
), events as materialized (
    select e.aggregateid, count(*) as n, max(e.sequence) as last, sum(e.sequence) as sum, sum(e.sequence::bigint * e.sequence) as squares,
           bool_or(e.type = 'order.created') as created, bool_or(e.type = 'order.paid') as paid
    from outbox e
    where e.aggregatetype = 'order' and e.type like 'order.%'
    group by e.aggregateid
), checked as (
    select o.id, o.sequence, o.status, o.payment_status, e.n, e.last, e.created, e.paid,
           -- 1, 2, … n, each once: told by two sums, which cost less than to sort them
           e.n = o.sequence and e.last = o.sequence and 2 * e.sum = e.n * (e.n + 1) and 6 * e.squares = e.n * (e.n + 1) * (2 * e.n + 1) as complete
    from orders o
    left join events e on e.aggregateid = o.id::text
    where o.placed_at >= (select since from kept)::timestamp at time zone 'UTC'
)
select id::text as id, 'order has no order.created' as what, 'order.created' as expected, coalesce(n, 0) || ' events' as actual
from checked
where created is not true
union all
select id::text, 'the last event is not that of the order''s last change', 'events 1 to ' || sequence,
       format('%s events, the last is %s', n, last)
from checked
where created and not complete
union all
select id::text, 'order is paid and has no order.paid', 'order.paid', 'none'
from checked
where created and payment_status <> 'unpaid' and paid is not true
union all
select c.id::text, 'order is not in the state that its last event tells', e.payload ->> 'status', c.status
from checked c
join outbox e on e.aggregateid = c.id::text and e.aggregatetype = 'order' and e.type like 'order.%' and e.sequence = c.sequence
where e.payload ->> 'status' is distinct from c.status
