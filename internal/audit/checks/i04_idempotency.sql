with shared as (
    select o.api_key_id, o.idempotency_key
    from orders o
    where o.idempotency_key is not null
    group by o.api_key_id, o.idempotency_key
    having count(*) > 1
)
select o.id::text as id, 'order shares its idempotency key with another' as what, 'one order a key' as expected,
       'API key ' || o.api_key_id as actual
from orders o
join shared s on s.api_key_id = o.api_key_id and s.idempotency_key = o.idempotency_key
union all
select o.id::text, 'order has an idempotency key and no hash of its request', 'both or neither', 'one'
from orders o
where (o.idempotency_key is null) <> (o.request_hash is null)
