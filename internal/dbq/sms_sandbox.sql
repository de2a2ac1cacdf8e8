-- name: SMSSandboxInsert :exec
insert into sms_sandbox_messages (id, message_id, sealed, created_at)
select unnest(@ids::uuid[]), unnest(@message_ids::uuid[]), unnest(@sealed::bytea[]), @now::timestamptz
on conflict (message_id) do nothing;

-- name: SMSSandboxIDs :many
select id, message_id
from sms_sandbox_messages
where message_id = any(@message_ids::uuid[]);

-- name: SMSSandboxList :many
select id, message_id, sealed, created_at
from sms_sandbox_messages
where id < @before::uuid
order by id desc
limit @max_rows;
