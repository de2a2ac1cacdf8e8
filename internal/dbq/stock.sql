-- name: StockAdd :one
-- No row: there would be less than nothing.
update stock
set available = available + @delta::bigint
where product_id = @product_id and available + @delta::bigint >= 0
returning available;

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
select coalesce(sum(i.quantity - i.fulfilled_quantity), 0)::bigint as reserved
from orders o
join order_items i on i.order_id = o.id
where o.status in ('pending_payment', 'on_hold', 'processing')
  and o.hold_reason is distinct from 'late_payment_no_stock' -- it waits for stock and holds none
  and i.product_id = @product_id;
