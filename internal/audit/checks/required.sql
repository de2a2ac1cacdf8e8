-- What the promises rest on in the schema: constraints that exist, are validated and enforced, unique indexes that are
-- valid, triggers that fire. Columns are compared where they make the constraint what it is.
with required (promise, rel, name, kind, cols) as (values
    ('I1', 'stock', 'stock_not_oversold', 'check', null),
    ('I1', 'order_items', 'order_items_not_over_fulfilled', 'check', null),
    ('I2', 'card_deliveries', 'card_deliveries_pkey', 'key', 'order_id,line,unit'),
    ('I2', 'card_deliveries', 'card_deliveries_card_key', 'key', 'card_id'),
    ('I2', 'cards', 'cards_fingerprint_key', 'key', 'product_id,fingerprint'),
    ('I2', 'cards', 'cards_state_check', 'check', null),
    ('I3', 'orders', 'orders_fulfilled_is_paid', 'check', null),
    ('I3', 'orders', 'orders_completed_is_fulfilled', 'check', null),
    ('I3', 'card_deliveries', 'card_deliveries_card_id_fkey', 'reference', 'card_id'),
    ('I3', 'card_deliveries', 'card_deliveries_order_id_line_fkey', 'reference', 'order_id,line'),
    ('I3', 'orders', 'orders_closed_has_time', 'check', null),
    ('I4', 'orders', 'orders_idempotency_key', 'index', 'api_key_id,idempotency_key'),
    ('I4', 'orders', 'orders_key_has_hash', 'check', null),
    ('I6', 'outbox', 'outbox_pkey', 'key', 'id,occurred_at'),
    ('I7', 'fulfillments', 'fulfillments_pkey', 'key', 'order_id,event_id'),
    ('I7', 'risk_assessments', 'risk_assessments_pkey', 'key', 'order_id'),
    ('I7', 'sms_messages', 'sms_messages_ledger_key', 'key', 'event_id,recipient_fingerprint'),
    ('I8', 'webhook_deliveries', 'webhook_deliveries_ledger_key', 'key', 'event_id,endpoint_id'),
    ('I8', 'webhook_deliveries', 'webhook_deliveries_status_check', 'check', null),
    ('I8', 'webhook_deliveries', 'webhook_deliveries_finished_has_time', 'check', null),
    ('I8', 'webhook_deliveries', 'webhook_deliveries_pending_has_next', 'check', null),
    ('I9', 'payments', 'payments_applied_once', 'index', 'order_id'),
    ('I9', 'payment_events', 'payment_events_pkey', 'key', 'event_id,account,channel'),
    ('I9', 'payment_events', 'payment_events_outcome_check', 'check', null),
    ('I9', 'orders', 'orders_unpaid_holds_nothing', 'check', null),
    ('I10', 'orders', 'orders_paid_in_full', 'check', null),
    ('I10', 'order_items', 'order_items_not_over_refunded', 'check', null),
    ('I10', 'order_items', 'order_items_not_over_returned', 'check', null),
    ('I10', 'refunds', 'refunds_once', 'key', 'order_id,idempotency_key'),
    ('I11', 'river_job', 'failed_jobs_note', 'trigger', null),
    ('I11', 'failed_job_interventions', 'failed_job_interventions_keep', 'trigger', null),
    ('I11', 'failed_jobs', 'failed_jobs_once', 'key', 'job_id,failed_at'),
    ('I11', 'failed_jobs', 'failed_jobs_open_once', 'index', 'job_id'),
    ('I12', 'api_keys', 'api_keys_secret_hash_check', 'check', null)
), constraints as (
    select t.relname as rel, c.conname as name, c.convalidated
               and coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true) -- since Postgres 18
               and not exists (select from pg_trigger g where g.tgconstraint = c.oid and g.tgenabled in ('D', 'R')) as holds,
           case c.contype when 'c' then 'check' when 'f' then 'reference' else 'key' end as kind,
           (select string_agg(a.attname, ',' order by k.n)
            from unnest(c.conkey) with ordinality as k (attnum, n)
            join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.attnum) as cols
    from pg_constraint c
    join pg_class t on t.oid = c.conrelid
    where t.relnamespace = current_schema()::regnamespace
), indexes as (
    select t.relname as rel, x.relname as name, i.indisunique and i.indisvalid and i.indisready as holds, 'index' as kind,
           (select string_agg(a.attname, ',' order by k.n)
            from unnest(i.indkey::smallint[]) with ordinality as k (attnum, n)
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum) as cols
    from pg_index i
    join pg_class x on x.oid = i.indexrelid
    join pg_class t on t.oid = i.indrelid
    where t.relnamespace = current_schema()::regnamespace
), triggers as (
    select t.relname as rel, g.tgname as name, g.tgenabled in ('O', 'A') as holds, 'trigger' as kind, null as cols
    from pg_trigger g
    join pg_class t on t.oid = g.tgrelid
    where t.relnamespace = current_schema()::regnamespace and not g.tgisinternal
), present as (
    select rel, name, holds, kind, cols from constraints
    union all select rel, name, holds, kind, cols from indexes
    union all select rel, name, holds, kind, cols from triggers
)
select r.promise, r.rel || '.' || r.name as id, 'missing or without effect: ' || r.kind as what,
       r.kind || coalesce(' (' || r.cols || ')', '') as expected,
       coalesce((select case when p.holds then p.kind || coalesce(' (' || p.cols || ')', '')
                             else 'not valid, not enforced or disabled' end
                 from present p where p.rel = r.rel and p.name = r.name order by (p.kind = r.kind) desc limit 1), 'missing') as actual
from required r
where not exists (select from present p
                  where p.rel = r.rel and p.name = r.name and p.kind = r.kind and p.holds
                    and (r.cols is null or p.cols = r.cols))
order by id
