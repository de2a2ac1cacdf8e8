-- name: RelayDropSafetyJobs :exec
-- A job that a worker already runs is left alone: it finds the ledgers filled and does nothing. "is true" keeps River's
-- fetch index out of it, which has every job that waits: each is looked up by its key.
delete from river_job where id = any(@ids::bigint[]) and (kind = 'relay' and state in ('scheduled', 'available')) is true;

-- name: RelayNotify :exec
select pg_notify(current_schema() || '.river_insert', json_build_object('queue', queue)::text)
from unnest(@queues::text[]) as queue;
