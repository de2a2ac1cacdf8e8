-- name: ProductInsert :execrows
-- A product and its stock row come together. No row: the SKU is taken.
with made as (
    insert into products (id, sku, name, kind, price_amount, price_currency, order_ttl_seconds, created_at, updated_at)
    values (@id, @sku, @name, @kind, @price_amount, @price_currency, sqlc.narg('order_ttl_seconds')::integer, @now::timestamptz, @now::timestamptz)
    on conflict (sku) do nothing
    returning id
)
insert into stock (product_id, low_stock_at)
select id, sqlc.narg('low_stock_at')::bigint from made;

-- name: ProductBySKU :one
select p.id, p.sku, p.name, p.kind, p.status, p.price_amount, p.price_currency, p.order_ttl_seconds, s.low_stock_at, p.created_at,
       p.updated_at, s.available
from products p
join stock s on s.product_id = p.id
where p.sku = @sku;

-- name: ProductIDBySKU :one
select id from products where sku = @sku;

-- name: ProductList :many
select p.id, p.sku, p.name, p.kind, p.status, p.price_amount, p.price_currency, p.order_ttl_seconds, s.low_stock_at, p.created_at,
       p.updated_at, s.available
from products p
join stock s on s.product_id = p.id
where p.id < @before::uuid
order by p.id desc
limit @max_rows;

-- name: ProductLock :one
select id, name, status, price_amount, price_currency, order_ttl_seconds
from products
where sku = @sku
for no key update;

-- name: ProductSave :exec
update products
set name = @name, status = @status, price_amount = @price_amount, price_currency = @price_currency,
    order_ttl_seconds = sqlc.narg('order_ttl_seconds'), updated_at = @updated_at
where id = @id;
