-- name: KeysetList :many
select purpose, sealed, updated_at
from keysets
order by purpose;

-- name: KeysetMake :exec
-- Processes that start together all come here; the first to arrive decides.
insert into keysets (purpose, sealed)
select unnest(@purposes::text[]), unnest(@sealed::bytea[])
on conflict (purpose) do nothing;

-- name: KeysetLock :one
select sealed
from keysets
where purpose = @purpose
for update;

-- name: KeysetReplace :execrows
update keysets
set sealed = @sealed, updated_at = now()
where purpose = @purpose;
