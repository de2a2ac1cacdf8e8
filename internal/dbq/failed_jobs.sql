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

-- name: FailedJobLockStatus :one
select status
from failed_jobs
where id = @id
for update;

-- name: FailedJobClose :exec
update failed_jobs
set status = @status, closed_at = @closed_at::timestamptz
where id = @id and status = 'open';

-- name: FailedJobInterventionInsert :exec
insert into failed_job_interventions (failed_job_id, action, actor, note, job_id, created_at)
values (@failed_job_id, @action, @actor, @note, @job_id, @created_at);

-- name: FailedJobInterventions :many
select id, action, actor, note, job_id, created_at
from failed_job_interventions
where failed_job_id = @failed_job_id
order by id;

-- name: FailedJobCountOpen :many
-- What waits for a person.
select kind, count(*) as open
from failed_jobs
where status = 'open'
group by kind
order by kind;

-- name: FailedJobLockRiverRow :one
-- River's row is locked before ours, as its own statements and the trigger do.
select state::text
from river_job
where id = @id
for update;

-- name: FailedJobRevive :exec
-- The job has all its attempts again. A cancellation that was asked for must not cancel the next attempt too.
update river_job
set state = 'available', attempt = 0, max_attempts = @max_attempts, finalized_at = null, scheduled_at = now(),
    metadata = metadata - 'cancel_attempted_at' - 'snoozes' - 'river:rescue_count'
where id = @id and state in ('discarded', 'cancelled');

-- name: FailedJobReinsert :one
-- The same job as it was, when River has cleaned its row.
insert into river_job (kind, queue, args, metadata, max_attempts, state)
values (@kind, @queue, @args, (@metadata::jsonb) - 'cancel_attempted_at' - 'snoozes' - 'river:rescue_count', @max_attempts, 'available')
returning id;

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
