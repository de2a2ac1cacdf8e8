-- Differences that reconciliation found, one row each for as long as it is seen.
create table reconciliation_entries (
    id            uuid primary key,
    scope         text not null check (char_length(scope) between 1 and 200), -- what was compared: a run closes only its own
    kind          text not null check (char_length(kind) between 1 and 64),
    subject       text not null, -- the order, payment, refund or product
    what          text not null,
    expected      text not null default '',
    actual        text not null default '',
    suggestion    text not null,
    status        text not null default 'open' check (status in ('open', 'gone', 'resolved')),
    first_seen_at timestamptz not null,
    last_seen_at  timestamptz not null,
    closed_at     timestamptz,
    closed_by     text not null default '',
    note          text not null default '' check (char_length(note) <= 2000),
    constraint reconciliation_closed_has_time check ((status = 'open') = (closed_at is null))
);
-- gone: a later run did not see it any more. resolved: a person says so.
create unique index reconciliation_open on reconciliation_entries (scope, kind, subject, what) where status = 'open';
-- A resolved fact is looked for before it is opened again.
create index reconciliation_resolved on reconciliation_entries (scope, kind, subject) where status = 'resolved';
-- A gateway's day.
create index payments_settled on payments (channel, succeeded_at) where status = 'succeeded';
create index refunds_finished on refunds (finished_at) where status = 'succeeded';
create index reconciliation_status on reconciliation_entries (status, id);
