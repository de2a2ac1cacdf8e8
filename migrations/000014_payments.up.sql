-- An attempt to pay. The account it was made for stays with it: a notice is checked with the attempt's credentials.
create table payments (
    id           uuid primary key,
    order_id     uuid not null references orders,
    channel      text not null check (char_length(channel) between 1 and 32),
    account      text not null check (char_length(account) between 1 and 100),
    status       text not null default 'pending' check (status in ('pending', 'succeeded', 'exception')),
    amount       bigint not null check (amount > 0),
    currency     text not null check (char_length(currency) = 3),
    created_at   timestamptz not null default now(),
    succeeded_at timestamptz,
    constraint payments_succeeded_has_time check (status <> 'succeeded' or succeeded_at is not null)
) with (fillfactor = 90);
create index payments_order on payments (order_id);
-- Money is applied to an order once, whatever the code does.
create unique index payments_applied_once on payments (order_id) where status = 'succeeded';

-- The inbox: every notice a channel verified, kept as it came, with what was done about it.
create table payment_events (
    channel     text not null,
    event_id    text not null check (char_length(event_id) between 1 and 255),
    payment_id  uuid references payments,
    order_id    uuid references orders,
    type        text not null,
    amount      bigint not null check (amount >= 0),
    currency    text not null,
    outcome     text not null check (outcome in ('applied', 'repeated', 'wrong_amount', 'second_payment', 'order_closed', 'unmatched', 'ignored')),
    body        bytea not null check (octet_length(body) <= 65536),
    occurred_at timestamptz not null,
    received_at timestamptz not null default now(),
    primary key (channel, event_id)
);
create index payment_events_payment on payment_events (payment_id) where payment_id is not null;
create index payment_events_exceptions on payment_events (received_at) where outcome not in ('applied', 'repeated', 'ignored');
