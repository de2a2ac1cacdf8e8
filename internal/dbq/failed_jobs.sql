-- name: FailedJobList :many
-- Newest first, by the primary key. An empty kind or queue means all.
select id, job_id, kind, queue, args, metadata, state, attempt, max_attempts, error, failed_at, status, closed_at
from failed_jobs
where id < @before
  and (@kind::text = '' or kind = @kind::text)
  and (@queue::text = '' or queue = @queue::text)
order by id desc
limit @max_rows;

-- name: FailedJobListOfStatus :many
-- A query of its own, so that the index failed_jobs_status serves it whatever plan is cached: the open ones are few
-- among many.
select id, job_id, kind, queue, args, metadata, state, attempt, max_attempts, error, failed_at, status, closed_at
from failed_jobs
where status = @status and id < @before
  and (@kind::text = '' or kind = @kind::text)
  and (@queue::text = '' or queue = @queue::text)
order by id desc
limit @max_rows;

-- name: FailedJobGet :one
select id, job_id, kind, queue, args, metadata, state, attempt, max_attempts, error, failed_at, status, closed_at
from failed_jobs
where id = @id;

-- name: FailedJobsLock :many
select id, job_id, kind, queue, args, metadata, state, attempt, max_attempts, error, failed_at, status, closed_at
from failed_jobs
where id = any(@ids::uuid[])
order by id
for update;

-- name: FailedJobsClose :exec
-- After FailedJobsLock, which says that they are open.
update failed_jobs
set status = @status, closed_at = @closed_at::timestamptz
where id = any(@ids::uuid[]);

-- name: FailedJobInterventionsInsert :exec
-- A job of 0 is none.
insert into failed_job_interventions (failed_job_id, action, actor, note, job_id, created_at)
select unnest(@ids::uuid[]), @action, @actor, @note, nullif(unnest(@jobs::bigint[]), 0), @created_at;

-- name: FailedJobInterventions :many
select id, action, actor, note, job_id, created_at
from failed_job_interventions
where failed_job_id = @failed_job_id
order by id;

-- name: FailedJobsOpen :many
-- What waits for a person, from the index failed_jobs_open alone.
select queue, kind, count(*) as jobs, extract(epoch from greatest(now() - min(failed_at), '0'))::float8 as oldest_age
from failed_jobs
where status = 'open'
group by queue, kind
order by queue, kind;

-- name: FailedJobsLockRiverRows :many
-- River's rows are locked before ours, as its own statements and the trigger do.
select id
from river_job
where id in (select f.job_id from failed_jobs f where f.id = any(@ids::uuid[]))
order by id
for update;

-- name: FailedJobsRevive :exec
-- The jobs have all their attempts again. A cancellation that was asked for must not cancel the next attempt too.
-- "is true" keeps River's indexes on the state, which hold all that ever failed, out of it.
update river_job j
set state = 'available', attempt = 0, max_attempts = f.max_attempts, finalized_at = null, scheduled_at = now(),
    metadata = j.metadata - 'cancel_attempted_at' - 'snoozes' - 'river:rescue_count'
from failed_jobs f
where f.id = any(@ids::uuid[]) and j.id = f.job_id and (j.state in ('discarded', 'cancelled')) is true;

-- name: FailedJobsReinsert :many
-- The same jobs as they were, when River has cleaned their rows.
with copies as (
    select id, nextval('river_job_id_seq') as job_id, kind, queue, args, metadata, max_attempts
    from failed_jobs
    where id = any(@ids::uuid[])
), inserted as (
    insert into river_job (id, kind, queue, args, metadata, max_attempts, state)
    select job_id, kind, queue, args, metadata - 'cancel_attempted_at' - 'snoozes' - 'river:rescue_count', max_attempts, 'available'
    from copies
)
select id, job_id from copies;

-- name: FailedJobsSupersede :exec
-- Closes the open entries of a kind whose work was given to new jobs, found by an id among their arguments: it reads the open
-- ones of the kind, along failed_jobs_open. Entries that somebody else is at are left to them.
with superseded as (
    select o.id
    from failed_jobs o
    where o.status = 'open' and o.kind = @kind and o.args ->> @argument::text = any(@ids::text[])
    order by o.id
    for update skip locked
), closed as (
    update failed_jobs f
    set status = 'resolved', closed_at = @now::timestamptz
    from superseded s
    where f.id = s.id
    returning f.id
)
insert into failed_job_interventions (failed_job_id, action, actor, note, created_at)
select id, 'resolve', @actor, 'sent again by a new job', @now::timestamptz
from closed;

-- name: FailedJobSweepMissed :one
-- Notes what the trigger did not. River keeps these rows for weeks; they are found by its index on (state, finalized_at).
with missed as (
    select failed_job_note(j.*)
    from river_job j
    where j.state in ('discarded', 'cancelled') and j.finalized_at is not null
      and not exists (
          select from failed_jobs f where f.job_id = j.id and (f.status = 'open' or f.failed_at = j.finalized_at))
)
select count(*) from missed;

-- name: FailedJobSweepRevived :many
-- Closes the entries of jobs that are at work again, or done, without the trigger having seen it.
with closed as (
    update failed_jobs f
    set status = 'retried', closed_at = @now::timestamptz
    from river_job j
    where f.status = 'open' and j.id = f.job_id and j.state not in ('discarded', 'cancelled')
    returning f.id, f.job_id
), noted as (
    insert into failed_job_interventions (failed_job_id, action, actor, note, job_id, created_at)
    select id, 'retry', 'sweep', 'found at work again', job_id, @now::timestamptz from closed
)
select id from closed;
