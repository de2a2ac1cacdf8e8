-- name: WebhookEndpointInsert :exec
insert into webhook_endpoints (id, url, description, event_types, created_at, updated_at)
values (@id, @url, @description, @event_types, @created_at, @created_at);

-- name: WebhookEndpointGet :one
select id, url, description, event_types, status, disabled_reason, created_at, updated_at, deleted_at
from webhook_endpoints
where id = @id and deleted_at is null;

-- name: WebhookEndpointLock :one
select id, url, description, event_types, status, disabled_reason, created_at, updated_at, deleted_at
from webhook_endpoints
where id = @id and deleted_at is null
for no key update;

-- name: WebhookEndpointList :many
-- Newest first, by the primary key.
select id, url, description, event_types, status, disabled_reason, created_at, updated_at, deleted_at
from webhook_endpoints
where deleted_at is null and id < @before::uuid
order by id desc
limit @max_rows;

-- name: WebhookEndpointUpdate :exec
update webhook_endpoints
set url = @url, description = @description, event_types = @event_types, status = @status,
    disabled_reason = nullif(@disabled_reason::text, ''), updated_at = @updated_at
where id = @id;

-- name: WebhookEndpointDelete :exec
update webhook_endpoints
set status = 'disabled', disabled_reason = 'deleted', deleted_at = @deleted_at::timestamptz, updated_at = @deleted_at
where id = @id;

-- name: WebhookEndpointsGone :many
-- Disables endpoints that answered 410, unless their address was changed in the meantime.
update webhook_endpoints e
set status = 'disabled', disabled_reason = 'gone', updated_at = @at::timestamptz
from (select unnest(@ids::uuid[]) as id, unnest(@urls::text[]) as url) as gone
where e.id = gone.id and e.url = gone.url and e.status = 'enabled'
returning e.id, e.description;

-- name: WebhookEndpointsWanting :many
-- The enabled endpoints with a filter among those that would match, and those that are named.
select id, event_types
from webhook_endpoints
where status = 'enabled' and (event_types && @filters::text[] or id = any(@named::uuid[]))
order by id;

-- name: WebhookEndpointIDsWithPending :many
-- Endpoints that are disabled while deliveries to them are still open.
select e.id
from webhook_endpoints e
where e.status = 'disabled'
  and exists (select from webhook_deliveries d where d.endpoint_id = e.id and d.status = 'pending')
order by e.id
limit @max_rows;

-- name: WebhookSecretInsert :exec
insert into webhook_secrets (id, endpoint_id, sealed, created_at) values (@id, @endpoint_id, @sealed, @created_at);

-- name: WebhookSecretsExpire :exec
-- The current secret goes on for the overlap; of those that are expiring already only the newest few do.
update webhook_secrets s
set expires_at = case when newer.n > @kept::int then @now::timestamptz
                      else least(coalesce(s.expires_at, 'infinity'), @expires_at::timestamptz) end
from (select w.id, row_number() over (order by w.created_at desc, w.id desc) as n
      from webhook_secrets w
      where w.endpoint_id = @endpoint_id and (w.expires_at is null or w.expires_at > @now::timestamptz)) as newer
where s.id = newer.id;

-- name: WebhookSecretsDelete :exec
delete from webhook_secrets where endpoint_id = @endpoint_id;

-- name: WebhookSecretsPrune :execrows
delete from webhook_secrets where expires_at < @before::timestamptz;

-- name: WebhookSecretsValid :many
-- Newest first.
select id, endpoint_id, sealed
from webhook_secrets
where endpoint_id = any(@endpoint_ids::uuid[]) and (expires_at is null or expires_at > @now::timestamptz)
order by endpoint_id, created_at desc, id desc;
