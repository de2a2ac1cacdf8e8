-- name: WebhookDeliveryEnlist :many
-- The hop's ledger. Rows come sorted by event and endpoint, so that two processes with the same events wait for each
-- other instead of deadlocking.
insert into webhook_deliveries (id, event_id, event_occurred_at, event_type, endpoint_id, next_attempt_at, created_at)
select unnest(@ids::uuid[]), unnest(@event_ids::uuid[]), unnest(@occurred_at::timestamptz[]), unnest(@types::text[]),
       unnest(@endpoint_ids::uuid[]), @now::timestamptz, @now::timestamptz
on conflict (event_id, endpoint_id) do nothing
returning id, event_id;

-- name: WebhookDeliveriesToSend :many
select d.id, d.event_id, d.event_occurred_at, d.event_type, d.endpoint_id, d.status, d.round, d.attempts,
       e.url, e.status as endpoint_status
from webhook_deliveries d
join webhook_endpoints e on e.id = d.endpoint_id
where d.id = any(@ids::uuid[]);

-- name: WebhookEvents :many
-- One look into one partition's key for each, whatever the planner knows of a partition that is new: two arrays would
-- be tried in every combination, or make it read the whole partition.
select e.id, e.type, e.payload, e.headers, e.occurred_at
from (select unnest(@ids::uuid[]) as id, unnest(@occurred_at::timestamptz[]) as occurred_at) as k
cross join lateral (select o.id, o.type, o.payload, o.headers, o.occurred_at
                    from outbox o
                    where o.id = k.id and o.occurred_at = k.occurred_at
                    limit 1) as e;

-- name: WebhookAttemptRecord :exec
-- What happened is always recorded and counted. It changes the delivery's state if it is a success, or if the delivery
-- is open and this is its current round. outcome: succeeded, failed, exhausted, endpoint_disabled.
with done as (
    select unnest(@ids::uuid[]) as id, unnest(@rounds::int[]) as round, unnest(@outcomes::text[]) as outcome,
           unnest(@started_at::timestamptz[]) as started_at, unnest(@durations_ms::int[]) as duration_ms,
           nullif(unnest(@status_codes::int[]), 0) as status_code, nullif(unnest(@errors::text[]), '') as error,
           unnest(@bodies::text[]) as body, unnest(@next_attempts_at::timestamptz[]) as next_attempt_at
), counted as (
    update webhook_deliveries d
    set attempts = d.attempts + 1,
        status = case when applies and n.outcome <> 'failed' then n.outcome else d.status end,
        last_status_code = case when applies then n.status_code else d.last_status_code end,
        last_error = case when applies then n.error else d.last_error end,
        next_attempt_at = case when not applies then d.next_attempt_at when n.outcome = 'failed' then n.next_attempt_at end,
        finished_at = case when not applies then d.finished_at when n.outcome <> 'failed' then @now::timestamptz end
    from (select done.*, w.status <> 'succeeded'
                 and (done.outcome = 'succeeded' or (w.status = 'pending' and w.round = done.round)) as applies
          from done
          join webhook_deliveries w on w.id = done.id
          order by w.id
          for no key update of w) as n
    where d.id = n.id
    returning d.id, d.attempts, d.status
)
insert into webhook_attempts (delivery_id, attempt, started_at, duration_ms, status_code, error, response_body)
select done.id, counted.attempts, done.started_at, done.duration_ms, done.status_code, done.error, done.body
from done
join counted on counted.id = done.id;

-- name: WebhookDeliveryEnd :exec
-- Ends open deliveries of the given rounds without an attempt.
update webhook_deliveries d
set status = n.status, last_error = coalesce(nullif(n.error, ''), d.last_error), next_attempt_at = null,
    finished_at = @now::timestamptz
from (select unnest(@ids::uuid[]) as id, unnest(@rounds::int[]) as round, unnest(@statuses::text[]) as status,
             unnest(@errors::text[]) as error) as n
where d.id = n.id and d.round = n.round and (d.status = 'pending') is true; -- by its key, not by the index on status

-- name: WebhookDeliveriesEndDisabled :execrows
-- Ends open deliveries of an endpoint if it is disabled, a bounded number at a time.
update webhook_deliveries d
set status = 'endpoint_disabled', next_attempt_at = null, finished_at = @now::timestamptz
from (select w.id
      from webhook_deliveries w
      join webhook_endpoints e on e.id = w.endpoint_id
      where w.endpoint_id = @endpoint_id and w.status = 'pending' and e.status = 'disabled'
      order by w.id
      limit @max_rows
      for no key update of w skip locked) as open
where d.id = open.id;

-- name: WebhookDeliveryGet :one
select id, event_id, event_occurred_at, event_type, endpoint_id, status, round, attempts, last_status_code, last_error,
       next_attempt_at, created_at, finished_at
from webhook_deliveries
where id = @id;

-- name: WebhookDeliveryLock :one
select id, event_id, event_occurred_at, event_type, endpoint_id, status, round, attempts, last_status_code, last_error,
       next_attempt_at, created_at, finished_at
from webhook_deliveries
where id = @id
for no key update;

-- name: WebhookDeliveryEndpointStatuses :many
-- Held against a disabling until the transaction ends.
select id, status from webhook_endpoints where id = any(@ids::uuid[]) order by id for share;

-- name: WebhookDeliveriesToRecover :many
-- What has not succeeded and is not in flight, of one endpoint, since a time; oldest first.
select id, event_id, event_occurred_at, event_type, endpoint_id, status, round, attempts, last_status_code, last_error,
       next_attempt_at, created_at, finished_at
from webhook_deliveries
where endpoint_id = @endpoint_id and status <> 'succeeded' and id > @after::uuid
  and event_occurred_at >= @since::timestamptz and (next_attempt_at is null or next_attempt_at > @now::timestamptz)
order by id
limit @max_rows
for no key update skip locked;

-- name: WebhookDeliveriesReopen :many
-- A new round each: the job of the one before, if there still is one, does nothing any more.
update webhook_deliveries
set status = 'pending', round = round + 1, next_attempt_at = @now::timestamptz, finished_at = null
where id = any(@ids::uuid[])
returning id, round;

-- name: WebhookDeliveriesLock :many
select id, status, round
from webhook_deliveries
where id = any(@ids::uuid[])
order by id
for no key update;

-- name: WebhookDeliveriesReopenSameRound :exec
-- For failed jobs that are set to work again: their arguments, and so their rounds, stay as they are.
update webhook_deliveries
set status = 'pending', next_attempt_at = @now::timestamptz, finished_at = null
where id = any(@ids::uuid[]);

-- name: WebhookDeliveriesForgotten :many
-- Open deliveries that are overdue and have no job that could still run. The jobs are read once, by their state.
select d.id, d.event_id, d.event_occurred_at, d.event_type, d.endpoint_id, d.status, d.round, d.attempts, d.last_status_code,
       d.last_error, d.next_attempt_at, d.created_at, d.finished_at
from webhook_deliveries d
where d.status = 'pending' and d.next_attempt_at < @overdue::timestamptz
  and not exists (select from river_job j
                  where j.state in ('available', 'pending', 'retryable', 'running', 'scheduled')
                    and j.kind = 'deliver_webhook' and j.args ->> 'delivery_id' = d.id::text
                    and j.args ->> 'round' = d.round::text)
order by d.id
limit @max_rows
for no key update of d skip locked;

-- name: WebhookDeliveryList :many
-- Newest first. Each list has the index its name says; the other filters are empty or narrow it.
select id, event_id, event_occurred_at, event_type, endpoint_id, status, round, attempts, last_status_code, last_error,
       next_attempt_at, created_at, finished_at
from webhook_deliveries
where id < @before::uuid
order by id desc
limit @max_rows;

-- name: WebhookDeliveryListByEndpoint :many
select id, event_id, event_occurred_at, event_type, endpoint_id, status, round, attempts, last_status_code, last_error,
       next_attempt_at, created_at, finished_at
from webhook_deliveries
where endpoint_id = @endpoint_id and id < @before::uuid
  and (@status::text = '' or status = @status::text) and (@event_type::text = '' or event_type = @event_type::text)
order by id desc
limit @max_rows;

-- name: WebhookDeliveryListUnfinishedByStatus :many
-- For every status but succeeded.
select id, event_id, event_occurred_at, event_type, endpoint_id, status, round, attempts, last_status_code, last_error,
       next_attempt_at, created_at, finished_at
from webhook_deliveries
where status = @status and status <> 'succeeded' and id < @before::uuid
  and (@event_type::text = '' or event_type = @event_type::text)
order by id desc
limit @max_rows;

-- name: WebhookDeliveryListByType :many
select id, event_id, event_occurred_at, event_type, endpoint_id, status, round, attempts, last_status_code, last_error,
       next_attempt_at, created_at, finished_at
from webhook_deliveries
where event_type = @event_type and id < @before::uuid and (@status::text = '' or status = @status::text)
order by id desc
limit @max_rows;

-- name: WebhookDeliveryListByStatus :many
-- For succeeded, as most are: the primary key will do.
select id, event_id, event_occurred_at, event_type, endpoint_id, status, round, attempts, last_status_code, last_error,
       next_attempt_at, created_at, finished_at
from webhook_deliveries
where status = @status and id < @before::uuid
order by id desc
limit @max_rows;

-- name: WebhookAttemptsOf :many
select delivery_id, attempt, started_at, duration_ms, status_code, error, response_body
from webhook_attempts
where delivery_id = @delivery_id
order by attempt desc
limit @max_rows;

-- name: WebhookDeliveriesPrune :execrows
-- Retention: finished deliveries that were made before a time (their ids say when), with their attempts.
delete from webhook_deliveries
where id in (select w.id from webhook_deliveries w
             where w.id < @before::uuid and w.status <> 'pending'
             order by w.id
             limit @max_rows
             for update skip locked);
