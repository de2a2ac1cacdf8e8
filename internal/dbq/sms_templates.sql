-- name: SMSTemplateInsert :one
insert into sms_templates (id, event_type, locale, body, provider_ref, resend_unknown, enabled, created_at, updated_at)
values (@id, @event_type, @locale, @body, @provider_ref, @resend_unknown, @enabled, @now, @now)
returning id, event_type, locale, body, provider_ref, resend_unknown, enabled, created_at, updated_at;

-- name: SMSTemplateSeed :exec
insert into sms_templates (id, event_type, locale, body, created_at, updated_at)
values (@id, @event_type, @locale, @body, @now, @now)
on conflict do nothing;

-- name: SMSTemplateGet :one
select id, event_type, locale, body, provider_ref, resend_unknown, enabled, created_at, updated_at
from sms_templates where id = @id;

-- name: SMSTemplateLock :one
select id, event_type, locale, body, provider_ref, resend_unknown, enabled, created_at, updated_at
from sms_templates where id = @id for update;

-- name: SMSTemplateList :many
select id, event_type, locale, body, provider_ref, resend_unknown, enabled, created_at, updated_at
from sms_templates where id < @before::uuid order by id desc limit @max_rows;

-- name: SMSTemplateListOfType :many
select id, event_type, locale, body, provider_ref, resend_unknown, enabled, created_at, updated_at
from sms_templates where event_type = @event_type and id < @before::uuid order by id desc limit @max_rows;

-- name: SMSTemplateUpdate :one
update sms_templates
set body = @body, provider_ref = @provider_ref, resend_unknown = @resend_unknown, enabled = @enabled, updated_at = @now
where id = @id
returning id, event_type, locale, body, provider_ref, resend_unknown, enabled, created_at, updated_at;

-- name: SMSTemplateDelete :execrows
delete from sms_templates where id = @id;
