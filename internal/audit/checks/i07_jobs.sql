-- Only what cannot happen by itself any more: an event whose relay is still to run, and work whose job is still to run,
-- are no offence, and neither is work that waits for a person among the failed jobs.
with runnable as materialized (
    select kind, args from river_job where state in ('available', 'pending', 'retryable', 'running', 'scheduled')
), failed as materialized (
    select kind, args from failed_jobs where status = 'open'
), unrelayed as (
    select args ->> 'epoch' as epoch, args ->> 'txid' as txid from runnable where kind = 'relay'
), cared as materialized (
    select args ->> 'order_id' as id from runnable where kind in ('deliver_order', 'assess_order')
    union select args ->> 'order_id' from failed where kind in ('deliver_order', 'assess_order')
    union select args ->> 'message_id' from runnable where kind = 'send_sms'
    union select args ->> 'message_id' from failed where kind = 'send_sms'
), due as materialized (
    select e.id, e.type, e.aggregateid, e.headers, e.occurred_at
    from outbox e
    where e.aggregatetype = 'order' and e.occurred_at < now() - interval '60 seconds'
      and (e.type = 'order.paid' or e.occurred_at > now() - interval '1 day')
      and not exists (select from unrelayed u where u.epoch = e.epoch::text and u.txid = e.txid::text)
), texted as (
    select e.id, e.type
    from due e
    join orders o on o.id::text = e.aggregateid and o.phone_fingerprint is not null
    where e.occurred_at > now() - interval '1 day'
      and exists (select from sms_templates t
                  where t.event_type = e.type and t.enabled and t.updated_at < e.occurred_at - interval '60 seconds'
                    and t.locale in (case when e.headers ->> 'locale' in ('en', 'zh') then e.headers ->> 'locale' else o.locale end, 'en'))
)
select e.aggregateid as id, 'order.paid has not become a delivery' as what, 'a row in fulfillments' as expected,
       'none, and no relay job is to run' as actual
from due e
where e.type = 'order.paid' and not exists (select from fulfillments f where f.order_id::text = e.aggregateid)
  and not exists (select from orders o where o.id::text = e.aggregateid and o.completed_at = e.occurred_at) -- delivered at once
union all
select t.id::text, t.type || ' has not become a text message', 'a row in sms_messages', 'none, and no relay job is to run'
from texted t
where not exists (select from sms_messages m where m.event_id = t.id)
union all
select o.id::text, 'order is paid and not delivered, and nothing is at it', 'a job that assesses or delivers it, or a failed one', 'none'
from orders o
join fulfillments f on f.order_id = o.id and f.created_at < now() - interval '60 seconds'
where o.status = 'processing' and o.payment_status <> 'unpaid'
  and not exists (select from cared c where c.id = o.id::text)
  and not exists (select from outbox e where e.occurred_at > now() - interval '60 seconds' and e.aggregateid = o.id::text)
union all
select o.id::text, 'order is held for risk, and its assessment does not say so', 'hold', coalesce(a.decision, 'none')
from orders o
left join risk_assessments a on a.order_id = o.id
where o.status = 'on_hold' and o.hold_reason = 'risk' and a.decision is distinct from 'hold'
union all
select m.id::text, 'text message is ' || m.status || ', and nothing is at it', 'a job, or a failed one', 'none'
from sms_messages m
where m.status in ('pending', 'sending') and m.opened_at < now() - interval '60 seconds'
  and not exists (select from cared c where c.id = m.id::text)
