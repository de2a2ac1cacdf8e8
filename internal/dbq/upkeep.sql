-- name: UpkeepBeat :exec
-- After a silence a client is no longer steady: see migration 000019.
insert into worker_heartbeats as w (client_id)
values (@client_id)
on conflict (client_id) do update
set beat_at = now(),
    steady_since = case when w.beat_at < now() - @silence::interval then now() else w.steady_since end;

-- name: UpkeepHeartStop :exec
delete from worker_heartbeats where client_id = @client_id;

-- name: UpkeepHeartsForget :execrows
delete from worker_heartbeats where beat_at < now() - interval '1 day';

-- name: UpkeepRescueTurn :one
-- One process at a time, until its transaction ends.
select pg_try_advisory_xact_lock(hashtext(current_schema() || '.upkeep_rescue'));

-- name: UpkeepOwnRunning :many
-- What the caller is working, as the database sees it. A fetch is known by its time.
select j.id, j.attempted_at::timestamptz as attempted_at
from river_job j
where j.state = 'running' and j.queue = any(@queues::text[])
  and j.attempted_at < now() - @lost_after::interval
  and j.attempted_by[cardinality(j.attempted_by)] = @client_id::text;

-- name: UpkeepRescue :many
-- Gives the jobs of lost clients back, and those attempts of the caller's that it has not heard of, as they were: the
-- attempt stays counted, because it was one. Nothing happens unless the caller itself has beaten without a silence for as
-- long as makes a client lost: only then have the living had time to show it. The jobs are found by state in River's
-- fetch index.
with lost as (
    select j.id, j.attempted_by[cardinality(j.attempted_by)] as client_id,
           j.attempted_by[cardinality(j.attempted_by)] = @client_id::text as own,
           case when j.metadata ? 'cancel_attempted_at' then 'cancelled'::river_job_state
                when j.attempt >= j.max_attempts then 'discarded'::river_job_state
                else 'available'::river_job_state end as next_state
    from river_job j
    where j.state = 'running' and j.queue = any(@queues::text[])
      and j.attempted_at < now() - @lost_after::interval
      and cardinality(j.attempted_by) > 0
      and (not exists (select from worker_heartbeats h
                       where h.client_id = j.attempted_by[cardinality(j.attempted_by)]
                         and h.beat_at >= now() - @lost_after::interval)
           or j.attempted_by[cardinality(j.attempted_by)] = @client_id::text
              and (j.id, j.attempted_at) in (select unnest(@unheard_jobs::bigint[]), unnest(@unheard_at::timestamptz[])))
      and exists (select from worker_heartbeats mine
                  where mine.client_id = @client_id::text and mine.steady_since < now() - @lost_after::interval
                    and mine.beat_at >= now() - @silence::interval)
    order by j.id
    limit @max_rows
    for update of j skip locked
)
update river_job j
set state = lost.next_state,
    finalized_at = case when lost.next_state <> 'available' then now() end,
    errors = array_append(j.errors, jsonb_build_object(
        'at', now(), 'attempt', j.attempt, 'trace', '',
        'error', case when lost.own then 'fetch lost: client ' || lost.client_id || ' lives and does not know of it'
                      else 'worker process lost: client ' || lost.client_id || ' has no heartbeat any more' end))
from lost
where j.id = lost.id
returning j.id, j.kind, j.queue, j.state::text as state, lost.client_id::text as client_id;

-- name: UpkeepDropPartition :one
-- The name of the partition that was dropped, or nothing.
select coalesce(outbox_drop_partition(@before::date), '')::text as partition;

-- name: UpkeepAnalyzeGrown :one
select analyze_grown();
