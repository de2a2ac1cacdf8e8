-- name: OutboxAppend :one
-- One statement, one round trip: the events and the job that relays them if this process does not live to.
with epoch as (
    select outbox_epoch() as n
), events as (
    insert into outbox (id, aggregatetype, aggregateid, type, payload, headers, sequence, occurred_at, epoch)
    select unnest(@ids::uuid[]), unnest(@aggregatetypes::text[]), unnest(@aggregateids::text[]), unnest(@types::text[]),
           unnest(@payloads::jsonb[]), unnest(@headers::jsonb[]), unnest(@sequences::int[]), @occurred_at::timestamptz,
           (select n from epoch)
)
insert into river_job (kind, queue, args, max_attempts, state, scheduled_at)
select 'relay', 'relay',
       jsonb_build_object('epoch', n, 'txid', pg_current_xact_id()::text,
                          'day', @day::text),
       25, 'scheduled', now() + interval '10 seconds'
from epoch
returning id;

-- name: OutboxOfTransaction :many
-- A page, along outbox_feed.
select id, aggregatetype, aggregateid, type, payload, headers, sequence, occurred_at, seq
from outbox
where epoch = @epoch and txid = @txid::xid8 and seq > @after
  and occurred_at >= @day_from and occurred_at < @day_to
order by seq
limit @max_rows;

-- name: OutboxEvent :one
select id, aggregatetype, aggregateid, type, payload, headers, sequence, occurred_at
from outbox
where id = @id and occurred_at = @occurred_at;

-- name: OutboxFeed :many
-- A transaction becomes visible here only when no older one is still open, so a reader never skips a late commit.
-- What was written before this cluster's epoch has all committed. The epoch is asked for once, not for every row.
-- However rare the types are, one call looks at max_scanned rows at most. Besides the rows that match it gives the last one
-- that it looked at, so that the next call goes on from there.
select id, aggregatetype, aggregateid, type, payload, headers, sequence, occurred_at,
       epoch, txid, seq, matches
from (
    select scanned.*, lead(seq) over (order by epoch, txid, seq) is null as last,
           (cardinality(@types::text[]) = 0 or type = any(@types::text[]))::boolean as matches
    from (
        select id, aggregatetype, aggregateid, type, payload, headers, sequence, occurred_at, epoch, txid, seq
        from outbox
        where (epoch, txid, seq) > (@epoch::int, @txid::xid8, @seq::bigint)
          and (epoch, txid) < ((select outbox_epoch()), pg_snapshot_xmin(pg_current_snapshot()))
        order by epoch, txid, seq
        limit @max_scanned
    ) as scanned
) as feed
where matches or last
order by epoch, txid, seq
limit @max_rows;

-- name: OutboxMakePartitions :one
select outbox_make_partitions(@first::date, @last::date);
