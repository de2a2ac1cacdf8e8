-- Secrets have shapes: a signing secret, an API key, a telephone number with its country (plain or in a URL), a sealed
-- value without the mark of its sealing. Searched is what we write ourselves: what a caller put into metadata, or an
-- application of somebody else's into its own events, is its own. Of the outbox, whose rows never change, the last day.
with texts (place, id, body) as (
    select 'river_job', id::text, concat(args, ' ', metadata, ' ', array_to_string(errors, ' ')) from river_job
    union all
    select 'failed_jobs', id::text, concat(args, ' ', metadata, ' ', error) from failed_jobs
    union all
    select 'sms_messages', id::text, concat(recipient_masked, ' ', error_code, ' ', error) from sms_messages
    union all
    select 'webhook_deliveries', id::text, last_error from webhook_deliveries where last_error is not null
    union all
    select 'webhook_attempts', delivery_id || ' attempt ' || attempt, error from webhook_attempts where error is not null
    union all
    select 'card_imports', id::text, concat(error, ' ', invalid) from card_imports
    union all
    select 'orders', id::text, concat(contact_masked, ' ', hold_reason, ' ', exception_code) from orders
    union all
    select 'outbox', id::text, concat(headers, ' ', payload - 'metadata' - 'items')
    from outbox
    where occurred_at > now() - interval '1 day' and split_part(type, '.', 1) in ('order', 'payment', 'product', 'stock', 'webhook')
), shapes as (
    select place, id, case when body like '%whsec\_%' and body ~ 'whsec_[A-Za-z0-9+/]{20}' then 'a signing secret'
                           when body like '%vb\_%' and body ~ '\mvb_[0-9a-z]{8}_[0-9a-z]{20}' then 'an API key'
                           when (body like '%+%' or body like '%\%2B%' or body like '%\%2b%') and body ~* '(\+|%2b)[1-9][0-9]{7,14}\M'
                               then 'a telephone number' end as shape
    from (select place, id, body from texts offset 0) as t -- makes each body once, not once per pattern
), sealed (place, id, value) as (
    select 'cards', id::text, sealed from cards
    union all
    select 'orders', id::text, contact_sealed from orders where contact_sealed is not null
    union all
    select 'webhook_secrets', id::text, sealed from webhook_secrets
    union all
    select 'sms_sandbox_messages', id::text, sealed from sms_sandbox_messages
)
select place || ' ' || id as id, 'holds ' || shape || ' in plain text' as what, 'none' as expected, 'not shown' as actual
from shapes
where shape is not null
union all
select 'orders ' || id, 'contact is not masked', 'stars', 'none'
from orders
where coalesce(contact_masked ->> 'phone', '*') not like '%*%' or coalesce(contact_masked ->> 'email', '*') not like '%*%'
union all
select place || ' ' || id, 'is not sealed', 'the mark of a seal and at least 33 bytes', octet_length(value) || ' bytes'
from sealed
where octet_length(value) < 33 or get_byte(value, 0) <> 1
