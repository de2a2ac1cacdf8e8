-- name: APIKeyInsert :exec
insert into api_keys (id, prefix, secret_hash, name, scopes, created_at, expires_at)
values (@id, @prefix, @secret_hash, @name, @scopes, @created_at, @expires_at);

-- name: APIKeyByPrefix :one
select id, prefix, secret_hash, name, scopes, created_at, expires_at, revoked_at
from api_keys
where prefix = @prefix;

-- name: APIKeyList :many
-- A shop has few keys: all of them, newest first, are one page.
select id, prefix, name, scopes, created_at, expires_at, revoked_at
from api_keys
order by id desc;

-- name: APIKeyRevoke :one
-- A key that is revoked already stays revoked since the first time.
update api_keys
set revoked_at = coalesce(revoked_at, @revoked_at::timestamptz)
where prefix = @prefix
returning id, prefix, name, scopes, created_at, expires_at, revoked_at;
