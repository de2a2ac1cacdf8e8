-- name: SMSMessageEnlist :many
-- The whole set in one statement. Types without a template end in the first step; only the others look at orders, one by
-- one by primary key. The order of the ledger's keys is the same in every process, or two with the same events deadlock.
with due as materialized (
    select e.id, e.event_id, e.occurred_at, e.type, e.locale, e.order_id
    from (select unnest(@ids::uuid[]) as id, unnest(@event_ids::uuid[]) as event_id,
                 unnest(@occurred_at::timestamptz[]) as occurred_at, unnest(@types::text[]) as type,
                 unnest(@locales::text[]) as locale, unnest(@order_ids::uuid[]) as order_id) as e
    where exists (select 1 from sms_templates t where t.event_type = e.type and t.enabled)
)
insert into sms_messages (id, event_id, event_occurred_at, event_type, template_id, order_id, recipient_fingerprint,
                          recipient_masked, locale, created_at, opened_at)
select due.id, due.event_id, due.occurred_at, due.type, t.id, due.order_id, o.phone_fingerprint,
       o.masked, t.locale, @now::timestamptz, @now::timestamptz
from due
cross join lateral (
    select orders.phone_fingerprint, coalesce(orders.contact_masked ->> 'phone', '') as masked,
           case when due.locale in ('en', 'zh') then due.locale else orders.locale end as locale
    from orders
    where orders.id = due.order_id and orders.phone_fingerprint is not null
    limit 1
) as o
cross join lateral (
    select sms_templates.id, sms_templates.locale
    from sms_templates
    where sms_templates.event_type = due.type and sms_templates.enabled and sms_templates.locale in (o.locale, 'en')
    order by (sms_templates.locale = o.locale) desc
    limit 1
) as t
order by due.event_id
on conflict (event_id, recipient_fingerprint) do nothing
returning id, event_id;

-- name: SMSMessageDrafts :many
-- Everything that a set of jobs needs to write and send their messages. The event itself is read only where the text
-- uses its data.
select m.id, m.event_type, m.order_id, m.locale, m.status, m.round, m.attempts, m.opened_at, m.error_code,
       t.body, t.provider_ref, coalesce(t.resend_unknown, false) as resend_unknown,
       o.number, o.total_amount, o.currency, o.expires_at, o.contact_sealed,
       array(select i.name from order_items i where i.order_id = m.order_id order by i.line)::text[] as names,
       array(select i.quantity from order_items i where i.order_id = m.order_id order by i.line)::int[] as quantities,
       e.payload
from (select unnest(@ids::uuid[]) as id) as wanted
join sms_messages m on m.id = wanted.id
join orders o on o.id = m.order_id
left join sms_templates t on t.id = m.template_id
left join lateral (
    select outbox.payload
    from outbox
    where outbox.id = m.event_id and outbox.occurred_at = m.event_occurred_at and position('data.' in t.body) > 0
    limit 1
) as e on true;

-- name: SMSMessageClaim :many
-- Marks messages as being sent, just before they are. The count of attempts fences: of two who read the same, one wins.
-- "is true" keeps the index on status, which may hold a backlog, out of it: each message is looked up by its key.
update sms_messages m
set status = 'sending', attempts = m.attempts + 1, provider = @provider, segments = c.segments
from (select unnest(@ids::uuid[]) as id, unnest(@rounds::int[]) as round, unnest(@attempts::int[]) as attempts,
             unnest(@segments::int[]) as segments) as c
where m.id = c.id and m.round = c.round and m.attempts = c.attempts and (m.status in ('pending', 'sending')) is true
returning m.id;

-- name: SMSMessageSettle :many
-- Writes what became of attempts. A late certainty replaces "unknown" of the same attempt, never anything else.
update sms_messages m
set status = s.status,
    provider_message_id = case when s.status = 'sent' then s.provider_message_id else m.provider_message_id end,
    error_code = s.error_code, error = s.error,
    sent_at = case when s.status = 'sent' then @now::timestamptz end,
    finished_at = case when s.status <> 'pending' then @now::timestamptz end
from (select unnest(@ids::uuid[]) as id, unnest(@rounds::int[]) as round, unnest(@attempts::int[]) as attempts,
             unnest(@statuses::text[]) as status, unnest(@provider_message_ids::text[]) as provider_message_id,
             unnest(@error_codes::text[]) as error_code, unnest(@errors::text[]) as error) as s
where m.id = s.id and m.round = s.round and m.attempts = s.attempts
  and (m.status in ('pending', 'sending') or m.status = 'unknown' and s.status in ('sent', 'failed')) is true
returning m.id;

-- name: SMSMessagesLock :many
select m.id, m.status, m.round, m.event_id, m.event_occurred_at,
       exists (select 1 from sms_templates t where t.id = m.template_id) as has_template
from sms_messages m
where m.id = any(@ids::uuid[])
order by m.id
for update of m;

-- name: SMSMessagesReopen :exec
update sms_messages
set status = 'pending', round = round + @rounds::int, error_code = '', error = '', opened_at = @now, sent_at = null, finished_at = null
where id = any(@ids::uuid[]);

-- name: SMSMessageGet :one
select id, event_id, event_type, template_id, order_id, recipient_masked, locale, status, attempts, provider,
       provider_message_id, segments, error_code, error, created_at, sent_at, finished_at
from sms_messages
where id = @id;

-- name: SMSMessageList :many
select id, event_id, event_type, template_id, order_id, recipient_masked, locale, status, attempts, provider,
       provider_message_id, segments, error_code, error, created_at, sent_at, finished_at
from sms_messages
where id < @before::uuid
order by id desc
limit @max_rows;

-- name: SMSMessageListOfStatus :many
select id, event_id, event_type, template_id, order_id, recipient_masked, locale, status, attempts, provider,
       provider_message_id, segments, error_code, error, created_at, sent_at, finished_at
from sms_messages
where status = @status and id < @before::uuid
order by id desc
limit @max_rows;

-- name: SMSMessageListOfOrder :many
select id, event_id, event_type, template_id, order_id, recipient_masked, locale, status, attempts, provider,
       provider_message_id, segments, error_code, error, created_at, sent_at, finished_at
from sms_messages
where order_id = @order_id and id < @before::uuid and (@status::text = '' or status = @status::text)
order by id desc
limit @max_rows;
