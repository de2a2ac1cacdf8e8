-- The idempotency key lives on the order it made: one row, one unique index, and no way for the two to disagree.
-- The contact is sealed; what is stored in the clear is masked, and the fingerprints are keyed hashes to search by.
-- api_key_id has no foreign key: keys are revoked, never deleted, and the check would lock one hot row per order.
create table orders (
    id                  uuid primary key,
    number              text not null constraint orders_number_key unique,
    status              text not null default 'pending_payment'
                        check (status in ('pending_payment', 'on_hold', 'processing', 'completed', 'canceled', 'expired')),
    payment_status      text not null default 'unpaid'
                        check (payment_status in ('unpaid', 'paid', 'partially_refunded', 'refunded')),
    fulfillment_status  text not null default 'unfulfilled'
                        check (fulfillment_status in ('unfulfilled', 'partially_fulfilled', 'fulfilled')),
    hold_reason         text,
    exception_code      text,
    currency            text not null check (char_length(currency) = 3),
    total_amount        bigint not null check (total_amount > 0),
    paid_amount         bigint not null default 0 check (paid_amount >= 0),
    refunded_amount     bigint not null default 0 check (refunded_amount between 0 and paid_amount),
    contact_sealed      bytea,
    contact_masked      json not null default '{}',
    phone_fingerprint   bytea check (octet_length(phone_fingerprint) = 16),
    email_fingerprint   bytea check (octet_length(email_fingerprint) = 16),
    locale              text not null check (locale in ('en', 'zh')),
    metadata            json not null default '{}',
    api_key_id          uuid not null,
    idempotency_key     text check (char_length(idempotency_key) between 1 and 255),
    request_hash        bytea check (octet_length(request_hash) = 32),
    sequence            integer not null default 1 check (sequence > 0),
    traceparent         text not null default '', -- W3C trace context of the request that placed it: one trace an order
    placed_at           timestamptz not null,
    expires_at          timestamptz not null,
    paid_at             timestamptz,
    completed_at        timestamptz,
    constraint orders_hold_has_reason check ((status = 'on_hold') = (hold_reason is not null)),
    constraint orders_paid_in_full check (payment_status = 'unpaid' or (paid_amount = total_amount and paid_at is not null)),
    constraint orders_unpaid_holds_nothing check (payment_status <> 'unpaid' or paid_amount = 0),
    constraint orders_fulfilled_is_paid check (fulfillment_status = 'unfulfilled' or payment_status <> 'unpaid'),
    constraint orders_completed_is_fulfilled check (status <> 'completed' or (fulfillment_status = 'fulfilled' and completed_at is not null)),
    constraint orders_key_has_hash check ((idempotency_key is null) = (request_hash is null)),
    constraint orders_expire_later check (expires_at > placed_at)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create unique index orders_idempotency_key on orders (api_key_id, idempotency_key) where idempotency_key is not null;
create index orders_expiring on orders (expires_at) where status = 'pending_payment';
create index orders_status on orders (status, id);
create index orders_phone on orders (phone_fingerprint, id) where phone_fingerprint is not null;
create index orders_email on orders (email_fingerprint, id) where email_fingerprint is not null;

-- product_id points at stock, not at products: placing has locked that row already, so the check is free.
create table order_items (
    order_id           uuid not null references orders,
    line               integer not null check (line between 1 and 100),
    product_id         uuid not null references stock,
    sku                text not null,
    name               text not null,
    kind               text not null check (kind in ('card', 'counted')),
    quantity           integer not null check (quantity between 1 and 1000),
    fulfilled_quantity integer not null default 0,
    unit_price_amount  bigint not null check (unit_price_amount > 0),
    primary key (order_id, line),
    constraint order_items_not_over_fulfilled check (fulfilled_quantity between 0 and quantity)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- The ledger of the hop from order.paid to card delivery: one row an order, for good.
create table fulfillments (
    order_id   uuid primary key references orders,
    event_id   uuid not null,
    created_at timestamptz not null default now()
);

-- Which card went to which unit of which line. The two keys are promise I2.
create table card_deliveries (
    order_id     uuid not null,
    line         integer not null,
    unit         integer not null check (unit >= 1),
    card_id      uuid not null constraint card_deliveries_card_key unique references cards,
    delivered_at timestamptz not null,
    primary key (order_id, line, unit),
    foreign key (order_id, line) references order_items
);

-- Every look at an order's codes, by whom and in which request.
create table card_reveals (
    id          bigint generated always as identity primary key,
    order_id    uuid not null references orders,
    actor       text not null,
    request_id  text not null,
    cards       integer not null check (cards >= 0),
    revealed_at timestamptz not null default now()
);
create index card_reveals_order on card_reveals (order_id, id);
