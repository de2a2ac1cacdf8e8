-- name: LiveStates :many
-- How far each order is, for those who watch it: what costs least to find out which have changed.
select id, sequence, coalesce(exception_code, '')::text as exception_code
from orders
where id = any(@ids::uuid[]);
