select c.id::text as id, 'card belongs to several units' as what, 'one' as expected, count(*)::text as actual
from card_deliveries d
join cards c on c.id = d.card_id
group by c.id
having count(*) > 1
union all
select c.id::text, 'card can be sold and belongs to an order', 'delivered or revoked', c.state
from cards c
where c.state in ('available', 'disabled') and exists (select from card_deliveries d where d.card_id = c.id)
union all
select c.id::text, 'card is ' || c.state || ' and belongs to no order', 'a row in card_deliveries', 'none'
from cards c
where c.state in ('delivered', 'revoked') and not exists (select from card_deliveries d where d.card_id = c.id)
union all
select c.id::text, 'card is of another product than the line it was delivered for', i.product_id::text, c.product_id::text
from card_deliveries d
join cards c on c.id = d.card_id
join order_items i on i.order_id = d.order_id and i.line = d.line
where i.product_id <> c.product_id
