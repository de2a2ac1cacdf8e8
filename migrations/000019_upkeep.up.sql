-- Which River clients are alive, by the database's clock. Unlogged: it is worth nothing after a crash, when every
-- process has to show anew that it lives. steady_since begins again after a silence, so that nobody judges the others
-- by rows from before a restart, a failover or a stall of the database.
create unlogged table worker_heartbeats (
    client_id    text primary key check (char_length(client_id) between 1 and 100),
    steady_since timestamptz not null default now(),
    beat_at      timestamptz not null default now()
) with (fillfactor = 50);

-- Drops the oldest daily partition of the outbox before a day (UTC) that nothing needs any more, and names it; null when
-- there is none. A day is needed while a delivery or a text message of its events is open, or while the relay of one of
-- its transactions is still to run or waits for a person. One partition a call, hence a transaction: the lock stops
-- everybody who places orders, so it is waited for half a second only and given back at once.
create function outbox_drop_partition(before date) returns text
language plpgsql
set search_path from current
set timezone = 'UTC'
set lock_timeout = '500ms'
as $$
declare
    part text;
begin
    select p.relname into part
    from (select c.relname, to_date(right(c.relname, 8), 'YYYYMMDD') as day
          from pg_inherits i
          join pg_class c on c.oid = i.inhrelid
          where i.inhparent = 'outbox'::regclass and c.relname ~ '^outbox_[0-9]{8}$') as p
    where p.day < before
      and not exists (select from webhook_deliveries d
                      where d.status = 'pending' and d.event_occurred_at >= p.day and d.event_occurred_at < p.day + 1)
      and not exists (select from sms_messages m
                      where m.status in ('pending', 'sending')
                        and m.event_occurred_at >= p.day and m.event_occurred_at < p.day + 1)
      and not exists (select from river_job j
                      where j.state in ('available', 'pending', 'retryable', 'running', 'scheduled')
                        and j.kind = 'relay' and j.args ->> 'day' = p.day::text)
      and not exists (select from failed_jobs f
                      where f.status = 'open' and f.kind = 'relay' and f.args ->> 'day' = p.day::text)
    order by p.day
    limit 1;
    if part is not null then
        execute format('drop table %I', part);
    end if;
    return part;
end $$;

-- Analyses the partition of a day (UTC) when it has grown tenfold since that was last done, and says whether it did.
-- Autovacuum comes once a minute at best, and until then the planner takes the day for as empty as it was made.
create function outbox_analyze_grown(day date) returns boolean
language plpgsql
set search_path from current
as $$
declare
    part regclass := to_regclass(format('%I', 'outbox_' || to_char(day, 'YYYYMMDD')));
begin
    if part is null or pg_relation_size(part) / current_setting('block_size')::bigint
            < 10 * greatest((select relpages from pg_class where oid = part), 1) then
        return false;
    end if;
    execute format('analyze %s', part);
    return true;
end $$;
