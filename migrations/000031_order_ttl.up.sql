-- How long an order with this product can be paid; null: the shop's own time.
alter table products add column order_ttl_seconds integer check (order_ttl_seconds between 60 and 604800);
