-- name: StockAdd :one
-- No row: there would be less than nothing.
update stock
set available = available + @delta::bigint
where product_id = @product_id and available + @delta::bigint >= 0
returning available, low_stock_at;

-- name: StockSaveLowAt :exec
update stock
set low_stock_at = sqlc.narg('low_stock_at')
where product_id = @product_id;

-- name: StockAvailable :one
select available
from stock
where product_id = @product_id;

-- name: StockMovementInsert :exec
insert into stock_movements (id, product_id, delta, reason, actor, created_at)
values (@id, @product_id, @delta, @reason, @actor, @created_at);

-- name: StockImported :one
-- Promise I1: available + reserved + delivered + revoked = imported.
select coalesce(sum(delta), 0)::bigint as imported
from stock_movements
where product_id = @product_id;

-- name: StockReservedByOpenOrders :one
select coalesce(sum(i.quantity - i.fulfilled_quantity - i.returned_quantity), 0)::bigint as reserved
from orders o
join order_items i on i.order_id = o.id
where o.status in ('pending_payment', 'on_hold', 'processing')
  and coalesce(o.hold_reason, '') not in ('late_payment_no_stock', 'late_payment_canceled') -- these hold none
  and i.product_id = @product_id;

-- name: StockLock :many
-- Locks stock in product order, before any order is locked.
select s.product_id, p.sku, p.status, s.available, s.low_stock_at
from stock s
join products p on p.id = s.product_id
where s.product_id = any(@product_ids::uuid[])
order by s.product_id
for update of s;

-- name: StockGive :exec
-- Adds to stock that this transaction has locked, each product's row; a negative quantity takes.
with given as (
    update stock s
    set available = s.available + n.quantity
    from (select unnest(@product_ids::uuid[]) as product_id, unnest(@quantities::bigint[]) as quantity) as n
    where s.product_id = n.product_id
    returning 1
)
select expect_rows(count(*), cardinality(@product_ids::uuid[])) from given;
