-- Whether stock is low is read together with how much there is, under the lock of one row: a join would give the limit
-- as it was before the wait for that lock, and a crossing would be told twice or not at all.
alter table stock add column low_stock_at bigint check (low_stock_at >= 0);
update stock s set low_stock_at = p.low_stock_at from products p where p.id = s.product_id and p.low_stock_at is not null;
alter table products drop column low_stock_at;

-- The orders of a product, newest first. It costs placing an entry a line, always at the end of the product's own.
create index order_items_product on order_items (product_id, order_id);

-- A notice is searched by the id that its gateway gave it, so that comes first in the key.
alter table payment_events
    drop constraint payment_events_pkey,
    add constraint payment_events_pkey primary key (event_id, account, channel);

-- Notices that need a person are a list, the newest first, and one that belongs to no attempt has no other id.
alter table payment_events add column id uuid not null default uuid_v7();
drop index payment_events_exceptions;
create index payment_events_exceptions on payment_events (outcome, id) where outcome not in ('applied', 'repeated', 'ignored');
-- The list of payments, whichever of the two conditions it has: its query asks for each channel and each status by itself.
create index payments_list on payments (channel, status, id);
