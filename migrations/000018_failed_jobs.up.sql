-- A snapshot of every job that ended badly, kept after River has cleaned its own row. A job has one entry for each time
-- it ended so, named by when that was.
create table failed_jobs (
    id           uuid primary key default uuid_v7(),
    job_id       bigint not null,
    kind         text not null,
    queue        text not null,
    args         jsonb not null,
    metadata     jsonb not null,
    state        text not null check (state in ('discarded', 'cancelled')),
    attempt      integer not null,
    max_attempts integer not null,
    error        text not null default '',
    failed_at    timestamptz not null,
    status       text not null default 'open' check (status in ('open', 'retried', 'resolved', 'discarded')),
    closed_at    timestamptz,
    constraint failed_jobs_once unique (job_id, failed_at),
    constraint failed_jobs_closed_has_time check ((status = 'open') = (closed_at is null))
);
create unique index failed_jobs_open_once on failed_jobs (job_id) where status = 'open';
create index failed_jobs_status on failed_jobs (status, id);

-- Who did what about it; never changed.
create table failed_job_interventions (
    id            bigint generated always as identity primary key,
    failed_job_id uuid not null references failed_jobs on delete cascade,
    action        text not null check (action in ('retry', 'resolve', 'discard')),
    actor         text not null check (actor <> ''),
    note          text not null default '',
    job_id        bigint, -- the job that a retry set to work
    created_at    timestamptz not null default now(),
    constraint failed_job_interventions_retry_has_job check ((action = 'retry') = (job_id is not null))
);
create index failed_job_interventions_job on failed_job_interventions (failed_job_id, id);

create function failed_job_interventions_keep() returns trigger
language plpgsql as $$
begin
    raise exception 'failed_job_interventions: what was done is not rewritten';
end $$;
create trigger failed_job_interventions_keep
    before update on failed_job_interventions
    for each statement execute function failed_job_interventions_keep();

-- Notes one job. The trigger and the sweep that checks the trigger share it.
create function failed_job_note(job river_job) returns void
language sql
set search_path from current
as $$
    insert into failed_jobs (job_id, kind, queue, args, metadata, state, attempt, max_attempts, error, failed_at)
    values (job.id, job.kind, job.queue, coalesce(job.args, '{}'), coalesce(job.metadata, '{}'), job.state::text,
            job.attempt, job.max_attempts,
            left(coalesce(job.errors[array_upper(job.errors, 1)] ->> 'error', ''), 2000),
            coalesce(job.finalized_at, now()))
    on conflict do nothing;
$$;

-- No Go callback sees a job that dies with its process or whose kind is unknown; this trigger sees every way out.
-- It must not fail: River completes jobs in batches of thousands, and one error would fail them all.
create function failed_jobs_note() returns trigger
language plpgsql security definer
set search_path from current
as $$
begin
    if new.state in ('discarded', 'cancelled') then
        perform failed_job_note(new);
    else
        -- Somebody set it to work again without us, with River's own interface say.
        with closed as (
            update failed_jobs set status = 'retried', closed_at = now()
            where job_id = new.id and status = 'open'
            returning id
        )
        insert into failed_job_interventions (failed_job_id, action, actor, note, job_id)
        select id, 'retry', 'database:' || session_user, 'set to work again outside of the API', new.id from closed;
    end if;
    return null;
exception when others then
    raise warning 'failed_jobs_note: job % not noted: %', new.id, sqlerrm;
    return null;
end $$;

create trigger failed_jobs_note
    after update of state on river_job
    for each row
    when (old.state is distinct from new.state
          and (new.state in ('discarded', 'cancelled') or old.state in ('discarded', 'cancelled')))
    execute function failed_jobs_note();
