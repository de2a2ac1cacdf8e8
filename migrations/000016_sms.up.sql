-- One text per event type and locale. Its variables are checked when it is saved.
create table sms_templates (
    id             uuid primary key,
    event_type     text not null check (event_type ~ '^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$' and char_length(event_type) <= 128),
    locale         text not null check (locale in ('en', 'zh')),
    body           text not null check (char_length(body) between 1 and 1000),
    provider_ref   text not null default '' check (char_length(provider_ref) <= 100), -- the gateway's own id of an approved text
    resend_unknown boolean not null default false, -- an unknown outcome may be sent again (a duplicate does no harm)
    enabled        boolean not null default true,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    constraint sms_templates_event_locale_key unique (event_type, locale)
);

-- The ledger of the hop from an event to a message: one message per event and recipient, whatever happens to templates
-- between two runs of the relay. The number is the order's and stays sealed there; here are its keyed hash and its mask.
--
-- No foreign keys: the relay would lock one hot template row per message, and order rows in another order than placing
-- and paying do. A message outlives its template; orders are never deleted.
create table sms_messages (
    id                    uuid primary key,
    event_id              uuid not null,
    event_occurred_at     timestamptz not null,
    event_type            text not null,
    template_id           uuid not null,
    order_id              uuid not null,
    recipient_fingerprint bytea not null check (octet_length(recipient_fingerprint) = 16),
    recipient_masked      text not null,
    locale                text not null check (locale in ('en', 'zh')), -- of the text
    status                text not null default 'pending'
                          check (status in ('pending', 'sending', 'sent', 'delivered', 'undelivered', 'failed', 'unknown')),
    round                 integer not null default 1 check (round > 0), -- the job that may work on it: a resend makes another
    attempts              integer not null default 0 check (attempts >= 0), -- how often a provider was asked; fences results
    provider              text not null default '',
    provider_message_id   text not null default '',
    segments              integer check (segments > 0),
    error_code            text not null default '',
    error                 text not null default '',
    created_at            timestamptz not null,
    opened_at             timestamptz not null, -- when its round began
    sent_at               timestamptz,
    finished_at           timestamptz,
    constraint sms_messages_ledger_key unique (event_id, recipient_fingerprint),
    constraint sms_messages_open_is_unfinished check ((status in ('pending', 'sending')) = (finished_at is null))
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index sms_messages_order on sms_messages (order_id, id);
create index sms_messages_status on sms_messages (status, id);
create index sms_messages_provider on sms_messages (provider, provider_message_id) where provider_message_id <> '';

-- What the sandbox provider was given, sealed.
create table sms_sandbox_messages (
    id         uuid primary key,
    message_id uuid not null constraint sms_sandbox_messages_message_key unique,
    sealed     bytea not null,
    created_at timestamptz not null default now()
);
