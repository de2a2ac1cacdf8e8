create table webhook_endpoints (
    id              uuid primary key,
    url             text not null check (char_length(url) between 1 and 2048),
    description     text not null default '' check (char_length(description) <= 500),
    event_types     text[] not null check (cardinality(event_types) between 1 and 100),
    status          text not null default 'enabled' check (status in ('enabled', 'disabled')),
    disabled_reason text check (disabled_reason in ('operator', 'gone', 'deleted')), -- gone: it answered 410
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    deleted_at      timestamptz, -- the row stays for its deliveries' sake until retention has dropped them
    constraint webhook_endpoints_disabled_has_reason check ((status = 'disabled') = (disabled_reason is not null)),
    constraint webhook_endpoints_deleted_is_disabled check ((deleted_at is not null) = (disabled_reason is not distinct from 'deleted'))
);

-- While a rotation overlaps an endpoint has two; each delivery is signed with all that have not expired.
create table webhook_secrets (
    id          uuid primary key,
    endpoint_id uuid not null references webhook_endpoints on delete cascade,
    sealed      bytea not null,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz
);
create index webhook_secrets_endpoint on webhook_secrets (endpoint_id, created_at);

-- The ledger of the hop from an event to an endpoint.
create table webhook_deliveries (
    id                uuid primary key,
    event_id          uuid not null,
    event_occurred_at timestamptz not null,
    event_type        text not null,
    endpoint_id       uuid not null references webhook_endpoints,
    status            text not null default 'pending'
                      check (status in ('pending', 'succeeded', 'exhausted', 'endpoint_disabled')),
    round             integer not null default 1, -- counts the jobs made for it; a job of an older round does nothing
    attempts          integer not null default 0 check (attempts >= 0),
    last_status_code  integer,
    last_error        text,
    next_attempt_at   timestamptz, -- in the past: a job is at it, or about to be
    created_at        timestamptz not null default now(),
    finished_at       timestamptz,
    constraint webhook_deliveries_ledger_key unique (event_id, endpoint_id),
    constraint webhook_deliveries_finished_has_time check ((status = 'pending') = (finished_at is null)),
    constraint webhook_deliveries_pending_has_next check ((status = 'pending') = (next_attempt_at is not null))
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
-- Lists: by endpoint, by type, and by the statuses that are rare. The last one serves disabling and recovering as well.
create index webhook_deliveries_endpoint on webhook_deliveries (endpoint_id, id);
create index webhook_deliveries_type on webhook_deliveries (event_type, id);
create index webhook_deliveries_unfinished on webhook_deliveries (status, id) where status <> 'succeeded';
create index webhook_deliveries_endpoint_unfinished on webhook_deliveries (endpoint_id, status, id) where status <> 'succeeded';

create table webhook_attempts (
    delivery_id   uuid not null references webhook_deliveries on delete cascade,
    attempt       integer not null check (attempt > 0),
    started_at    timestamptz not null,
    duration_ms   integer not null check (duration_ms >= 0),
    status_code   integer,
    error         text,
    response_body text not null default '' check (octet_length(response_body) <= 4096),
    primary key (delivery_id, attempt)
);
