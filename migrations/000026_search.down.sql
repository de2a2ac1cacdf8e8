alter table products add column low_stock_at bigint check (low_stock_at >= 0);
update products p set low_stock_at = s.low_stock_at from stock s where s.product_id = p.id and s.low_stock_at is not null;
alter table stock drop column low_stock_at;
