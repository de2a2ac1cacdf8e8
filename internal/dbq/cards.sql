-- name: CardCountGone :one
select count(*) filter (where state = 'delivered') as delivered,
       count(*) filter (where state = 'revoked') as revoked,
       count(*) filter (where state = 'disabled') as disabled
from cards
where product_id = @product_id and state <> 'available';

-- name: CardProductsWithExpired :many
-- The products with an expired card on the shelf and something available: a look into each product's own cards_claim.
select s.product_id
from stock s
cross join lateral (
    select c.expires_at
    from cards c
    where c.product_id = s.product_id and c.state = 'available'
    order by c.expires_at nulls last, c.id
    limit 1
) as first
where s.available > 0 and first.expires_at <= @now::timestamptz;

-- name: CardDisableExpired :execrows
-- Those that another transaction is claiming are passed over.
update cards
set state = 'disabled'
where id in (
    select c.id
    from cards c
    where c.product_id = @product_id and c.state = 'available' and c.expires_at <= @now::timestamptz
    order by c.expires_at, c.id
    limit @max_rows
    for update skip locked);

-- name: CardInsertStaged :execrows
-- The first line of each code becomes a card, unless the product has that code already, in whatever state. In the order
-- of the unique index, so that two imports of the same codes wait for each other and do not deadlock.
insert into cards (id, product_id, import_id, fingerprint, sealed, expires_at)
select distinct on (l.fingerprint) l.card_id, @product_id::uuid, l.import_id, l.fingerprint, l.sealed, l.expires_at
from card_import_lines l
where l.import_id = @import_id
order by l.fingerprint, l.line
on conflict (product_id, fingerprint) do nothing;

-- name: CardCountKnown :one
-- The codes of an import that the product had before, after CardInsertStaged: by then every rival has committed.
select count(*) filter (where c.state = 'available') as in_stock,
       count(*) filter (where c.state <> 'available') as delivered
from (select distinct l.fingerprint from card_import_lines l where l.import_id = @import_id) as staged
join cards c on c.product_id = @product_id and c.fingerprint = staged.fingerprint
where c.import_id <> @import_id;
