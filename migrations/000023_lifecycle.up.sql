-- What has become of an order, step by step and for good: the outbox is dropped by retention, this is not. The first step
-- is the order itself (placed_at, api_key_id), so placing writes nothing here.
create table order_timeline (
    order_id           uuid not null references orders,
    sequence           integer not null check (sequence > 1), -- the order's, and its event's
    event              text not null,
    status             text not null, -- after the step, as the two below
    payment_status     text not null,
    fulfillment_status text not null,
    actor              text not null check (char_length(actor) between 1 and 200),
    reason             text not null default '' check (char_length(reason) <= 500),
    traceparent        text not null default '', -- of whatever caused the step
    at                 timestamptz not null,
    primary key (order_id, sequence)
);

alter table orders
    add column closed_at timestamptz, -- when it was canceled or expired
    add constraint orders_closed_has_time check (status not in ('canceled', 'expired') or closed_at is not null) not valid;
update orders set closed_at = placed_at where status in ('canceled', 'expired') and closed_at is null;
alter table orders validate constraint orders_closed_has_time;

-- Whatever is unpaid ends by itself: an order that waits for its payment, and one that is held and holds stock.
drop index orders_expiring;
create index orders_due on orders (expires_at, id) where payment_status = 'unpaid' and status in ('pending_payment', 'on_hold');

-- Units that were refunded; of those, the ones that had not been delivered went back to the stock.
alter table order_items
    add column refunded_quantity integer not null default 0,
    add column returned_quantity integer not null default 0,
    add constraint order_items_not_over_refunded check (refunded_quantity between 0 and quantity),
    add constraint order_items_not_over_returned
        check (returned_quantity between 0 and refunded_quantity and fulfilled_quantity + returned_quantity <= quantity);

-- An order is delivered after it was paid, and again after it was released: the hop's key is the event's.
alter table fulfillments
    drop constraint fulfillments_pkey,
    add constraint fulfillments_pkey primary key (order_id, event_id);

-- Late money has an outcome of its own: the payment is in, and the order waits for a person or for stock.
alter table payment_events
    drop constraint payment_events_outcome_check,
    add constraint payment_events_outcome_check check (outcome in
        ('applied', 'repeated', 'wrong_amount', 'second_payment', 'late_payment', 'order_closed', 'unmatched', 'ignored'));

-- When the gateway is to be asked what became of an attempt: soon after it began, then ever more seldom; null where it
-- cannot be asked, or need not be any more.
alter table payments add column ask_at timestamptz;
create index payments_ask on payments (ask_at) where ask_at is not null;

-- Money that goes back: one row for each time it was asked for. The id is the idempotency key at the gateway.
create table refunds (
    id              uuid primary key,
    order_id        uuid not null references orders,
    payment_id      uuid not null references payments,
    amount          bigint not null check (amount > 0),
    currency        text not null check (char_length(currency) = 3),
    status          text not null default 'pending' check (status in ('pending', 'succeeded', 'refused', 'unknown', 'manual')),
    reason          text not null default '' check (char_length(reason) <= 500),
    actor           text not null,
    idempotency_key text check (char_length(idempotency_key) between 1 and 255),
    reference       text not null default '', -- the gateway's id of it
    error           text not null default '', -- what the gateway said, or what is not known
    created_at      timestamptz not null,
    enlisted_at     timestamptz, -- when its job was made: the ledger of the hop
    finished_at     timestamptz,
    constraint refunds_once unique (order_id, idempotency_key),
    constraint refunds_finished_has_time check ((status in ('succeeded', 'refused')) = (finished_at is not null))
);
create index refunds_order on refunds (order_id, id);
create index refunds_payment on refunds (payment_id);
create index refunds_status on refunds (status, id);

create table refund_items (
    refund_id uuid not null references refunds,
    line      integer not null,
    quantity  integer not null check (quantity > 0), -- of them, returned went back to the stock and the cards of the rest are revoked
    returned  integer not null default 0 check (returned between 0 and quantity),
    primary key (refund_id, line)
);
