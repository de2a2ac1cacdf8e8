-- The outbox: append-only, never updated, one partition a day, dropped by retention. The first five columns are what
-- Debezium's outbox event router reads. The checks are the cheap half of the rule: a regular expression costs 3.5 µs a row,
-- as much as both indexes. The doors (emit below, POST /v1/events) hold the other half.
create sequence outbox_seq cache 32;

create table outbox (
    id            uuid not null,
    aggregatetype text not null check (char_length(aggregatetype) between 1 and 64),
    aggregateid   text not null check (char_length(aggregateid) between 1 and 255),
    type          text not null check (type like '_%._%' and char_length(type) <= 128),
    payload       jsonb not null,
    headers       jsonb not null default '{}',
    seq           bigint not null default nextval('outbox_seq'),
    txid          xid8 not null default pg_current_xact_id(),
    epoch         integer not null,
    sequence      integer not null default 0,
    occurred_at   timestamptz not null,
    primary key (id, occurred_at)
) partition by range (occurred_at);

-- Serves the feed (order by epoch, txid, seq) and the relay (one transaction's events) alike.
create index outbox_feed on outbox (epoch, txid, seq);

-- The net under the partitions made ahead: an event is never refused for want of a day.
create table outbox_default partition of outbox default;

-- Makes the missing daily partitions (UTC) of a range of days and analyses them, so that the planner never meets one
-- without statistics. Rows that had fallen into the default partition move to where they belong.
create function outbox_make_partitions(first date, last date) returns integer
language plpgsql
set timezone = 'UTC'
as $$
declare
    day  date;
    part text;
    made integer := 0;
begin
    perform pg_advisory_xact_lock(hashtext(current_schema() || '.outbox_make_partitions'));
    for day in select generate_series(first, last, interval '1 day')::date loop
        part := format('outbox_%s', to_char(day, 'YYYYMMDD'));
        continue when to_regclass(format('%I.%I', current_schema(), part)) is not null;
        execute format('create table %I (like outbox including defaults including constraints)', part);
        execute format('with moved as (delete from outbox_default where occurred_at >= %L::timestamptz
            and occurred_at < %L::timestamptz returning *) insert into %I select * from moved', day, day + 1, part);
        execute format('alter table outbox attach partition %I for values from (%L) to (%L)', part, day, day + 1);
        execute format('analyze %I', part);
        made := made + 1;
    end loop;
    return made;
end $$;

select outbox_make_partitions((now() at time zone 'UTC')::date - 1, (now() at time zone 'UTC')::date + 7);

-- Transaction ids order the feed, and they start anew when a dump is restored into another cluster. So every cluster
-- the data has lived in is an epoch, and the epoch comes first in the order.
create table outbox_epochs (
    epoch             integer primary key,
    system_identifier bigint not null,
    begun_at          timestamptz not null default now()
);

create function outbox_epoch() returns integer
language plpgsql volatile security definer
set search_path from current
as $$
declare
    here   bigint := (select system_identifier from pg_control_system());
    latest outbox_epochs%rowtype;
begin
    select * into latest from outbox_epochs order by epoch desc limit 1;
    if latest.system_identifier = here then
        return latest.epoch;
    end if;
    perform pg_advisory_xact_lock(hashtext(current_schema() || '.outbox_epoch'));
    select * into latest from outbox_epochs order by epoch desc limit 1;
    if latest.system_identifier is distinct from here then
        insert into outbox_epochs (epoch, system_identifier) values (coalesce(latest.epoch, 0) + 1, here)
        returning * into latest;
    end if;
    return latest.epoch;
end $$;

select outbox_epoch();

-- The SQL door: any language, any transaction in this database. The event and the job that relays it commit or vanish
-- with the caller's transaction. Several events of one transaction share one job. Of headers, traceparent (W3C) and locale
-- (en, zh) are kept; the rest is vendbox's own.
create function emit(type text, aggregatetype text, aggregateid text, payload jsonb, headers jsonb default '{}')
returns uuid
language plpgsql volatile security definer
set search_path from current
as $$
#variable_conflict use_variable
declare
    event_id uuid := uuid_v7();
    epoch    integer := outbox_epoch();
    relaying text := epoch || '/' || pg_current_xact_id()::text;
begin
    if split_part(type, '.', 1) in ('order', 'payment', 'product', 'stock', 'webhook') then
        raise exception 'vendbox.emit: the event type % is reserved', quote_literal(type)
            using errcode = '22023', hint = 'Types that begin with order., payment., product., stock. or webhook. are vendbox''s own. Use a prefix of yours.';
    end if;
    if type !~ '^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$' or aggregatetype !~ '^[a-z][a-z0-9_]{0,63}$' then
        raise exception 'vendbox.emit: type % or aggregatetype % is malformed', quote_nullable(type), quote_nullable(aggregatetype)
            using errcode = '22023', hint = 'A type is lower-case words with dots between (shop.sold); an aggregatetype is one such word.';
    end if;
    if payload is null or jsonb_typeof(payload) <> 'object' or octet_length(payload::text) > 262144 then
        raise exception 'vendbox.emit: payload must be a JSON object of at most 256 KiB'
            using errcode = '22023', hint = 'Store large data in a table of yours and send its id.';
    end if;
    if jsonb_path_exists(payload, '$.**{65 to last}') then
        raise exception 'vendbox.emit: payload is nested more than 64 levels deep'
            using errcode = '22023', hint = 'Subscribers could not read it. Send a flatter object.';
    end if;
    insert into outbox (id, aggregatetype, aggregateid, type, payload, headers, epoch, occurred_at)
    values (event_id, aggregatetype, aggregateid, type, payload, jsonb_strip_nulls(jsonb_build_object(
                'traceparent', substring(headers ->> 'traceparent' from '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'),
                'locale', substring(headers ->> 'locale' from '^(?:en|zh)$'))),
            epoch, now());

    if current_setting('vendbox.relaying', true) is distinct from relaying then
        insert into river_job (kind, queue, args, max_attempts, state)
        values ('relay', 'relay', jsonb_build_object('epoch', epoch, 'txid', pg_current_xact_id()::text,
                'day', to_char(now() at time zone 'UTC', 'YYYY-MM-DD')), 25, 'available');
        perform pg_notify(current_schema() || '.river_insert', '{"queue":"relay"}');
        perform set_config('vendbox.relaying', relaying, true);
    end if;
    return event_id;
end $$;
comment on function emit is 'Appends an event to the outbox in the caller''s transaction; returns its id.';
