-- Whether stock is low is read together with how much there is, under the lock of one row: a join would give the limit
-- as it was before the wait for that lock, and a crossing would be told twice or not at all.
alter table stock add column low_stock_at bigint check (low_stock_at >= 0);
update stock s set low_stock_at = p.low_stock_at from products p where p.id = s.product_id and p.low_stock_at is not null;
alter table products drop column low_stock_at;
