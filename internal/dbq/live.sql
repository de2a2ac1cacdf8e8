-- name: LiveSequences :many
-- How far each order is, for those who watch it: what costs least to find out which have changed.
select id, sequence
from orders
where id = any(@ids::uuid[]);
