drop index payments_list;
drop index payment_events_exceptions;
create index payment_events_exceptions on payment_events (received_at) where outcome not in ('applied', 'repeated', 'ignored');
alter table payment_events drop column id;
alter table payment_events
    drop constraint payment_events_pkey,
    add constraint payment_events_pkey primary key (channel, account, event_id);
drop index order_items_product;
alter table products add column low_stock_at bigint check (low_stock_at >= 0);
update products p set low_stock_at = s.low_stock_at from stock s where s.product_id = p.id and s.low_stock_at is not null;
alter table stock drop column low_stock_at;
