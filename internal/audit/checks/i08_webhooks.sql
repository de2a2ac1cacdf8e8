-- As for I7. Events of the last day: nobody may drop ended deliveries sooner than that. An endpoint that was made,
-- changed or enabled after an event, or just before, need not have been told of it.
with runnable as materialized (
    select kind, args from river_job where state in ('available', 'pending', 'retryable', 'running', 'scheduled')
), unrelayed as (
    select args ->> 'epoch' as epoch, args ->> 'txid' as txid from runnable where kind = 'relay'
), cared as materialized (
    select args ->> 'delivery_id' as id, args ->> 'round' as round from runnable where kind = 'deliver_webhook'
    union select args ->> 'delivery_id', args ->> 'round' from failed_jobs where kind = 'deliver_webhook' and status = 'open'
), due as materialized (
    select e.id, e.type, e.headers ->> 'endpoint_id' as named, e.occurred_at
    from outbox e
    where e.occurred_at between now() - interval '1 day' and now() - interval '60 seconds'
      and exists (select from webhook_endpoints w where w.status = 'enabled')
      and not exists (select from unrelayed u where u.epoch = e.epoch::text and u.txid = e.txid::text)
), wanting as (
    select t.type, w.id as endpoint_id, w.updated_at
    from (select distinct type from due) as t
    join webhook_endpoints w on w.status = 'enabled'
    where exists (select from unnest(w.event_types) as f (filter)
                  where f.filter in ('*', t.type) or (f.filter like '%.*' and starts_with(t.type, left(f.filter, -1))))
), pairs as (
    select e.id, e.type, w.endpoint_id
    from due e
    join wanting w on w.type = e.type and w.updated_at < e.occurred_at - interval '60 seconds'
    where e.named is null
    union all
    select e.id, e.type, w.id
    from due e
    join webhook_endpoints w on w.id::text = e.named and w.status = 'enabled'
                            and w.updated_at < e.occurred_at - interval '60 seconds'
)
select p.id::text as id, p.type || ' has not become a delivery to an endpoint that wants it' as what,
       'a delivery to ' || p.endpoint_id as expected, 'none, and no relay job is to run' as actual
from pairs p
where not exists (select from webhook_deliveries d where d.event_id = p.id and d.endpoint_id = p.endpoint_id)
union all
select d.id::text, 'delivery is open, and nothing is at it', 'a job of round ' || d.round || ', or a failed one', 'none'
from webhook_deliveries d
where d.status = 'pending' and d.next_attempt_at < now() - interval '60 seconds'
  and not exists (select from cared c where c.id = d.id::text and c.round = d.round::text)
union all
select d.id::text, 'delivery succeeded without a 2xx answer', '200 to 299', coalesce(d.last_status_code::text, 'none')
from webhook_deliveries d
where d.status = 'succeeded' and coalesce(d.last_status_code, 0) not between 200 and 299
