-- name: RelayDropSafetyJobs :exec
-- A job that a worker already runs is left alone: it finds the ledgers filled and does nothing. "is true" keeps River's
-- fetch index out of it, which has every job that waits: each is looked up by its key.
delete from river_job where id = any(@ids::bigint[]) and (kind = 'relay' and state in ('scheduled', 'available')) is true;

-- name: RelayOldestAge :one
-- Seconds since the events of the oldest open safety job: of the one that is first in line in each state, along River's
-- index for fetching.
select coalesce(extract(epoch from greatest(max(now() - first.created_at), '0')), 0)::float8 as seconds
from unnest(array['scheduled', 'available', 'running', 'retryable']::river_job_state[]) as open_state
cross join lateral (
    select job.created_at
    from river_job job
    where job.state = open_state and job.queue = 'relay' and job.priority = 1
    order by job.scheduled_at, job.id
    limit 1
) as first;

-- name: RelayNotify :exec
-- One statement for both: the queues with new jobs, and the ids of orders that have changed, joined by commas.
select pg_notify(current_schema() || '.river_insert', json_build_object('queue', queue)::text)
from unnest(@queues::text[]) as queue
union all
select pg_notify(current_schema() || '.orders', ids)
from unnest(@orders::text[]) as ids;
