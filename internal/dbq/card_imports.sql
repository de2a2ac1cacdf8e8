-- name: CardImportInsert :exec
insert into card_imports (id, product_id, status, format, actor, created_at)
values (@id, @product_id, 'running', @format, @actor, @created_at);

-- name: CardImportAlive :exec
-- A sign of life, by the database's clock, which CardImportStale reads too.
update card_imports
set alive_at = now()
where id = @id and status = 'running';

-- name: CardImportLineCopy :copyfrom
insert into card_import_lines (import_id, line, card_id, fingerprint, sealed, expires_at)
values (@import_id, @line, @card_id, @fingerprint, @sealed, @expires_at);

-- name: CardImportLinesAnalyze :exec
analyze card_import_lines;

-- name: CardImportLinesDelete :execrows
delete from card_import_lines
where import_id = @import_id;

-- name: CardImportLinesDeleteOrphans :exec
delete from card_import_lines l
where not exists (select from card_imports i where i.id = l.import_id and i.status = 'running');

-- name: CardImportLockRunning :one
-- No row: somebody took the import for dead.
select id
from card_imports
where id = @id and status = 'running'
for no key update;

-- name: CardImportComplete :exec
update card_imports
set status = 'completed', lines = @lines, imported = @imported, duplicates_in_file = @duplicates_in_file,
    duplicates_in_stock = @duplicates_in_stock, duplicates_delivered = @duplicates_delivered,
    invalid_count = @invalid_count, invalid = @invalid, finished_at = @finished_at
where id = @id;

-- name: CardImportFail :execrows
update card_imports
set status = 'failed', error = @error::text, lines = @lines, invalid_count = @invalid_count, invalid = @invalid,
    finished_at = @finished_at
where id = @id and status = 'running';

-- name: CardImportFailStale :many
-- An import that is being merged has its row locked, and is alive.
update card_imports
set status = 'failed', error = 'abandoned', finished_at = @finished_at
where id in (
    select i.id
    from card_imports i
    where i.status = 'running' and i.alive_at < now() - @older_than::interval
    for no key update skip locked
)
returning id;

-- name: CardImportByID :one
select i.id, p.sku, i.status, i.format, i.lines, i.imported, i.duplicates_in_file, i.duplicates_in_stock,
       i.duplicates_delivered, i.invalid_count, i.invalid, i.error, i.actor, i.created_at, i.finished_at
from card_imports i
join products p on p.id = i.product_id
where p.sku = @sku and i.id = @id;

-- name: CardImportList :many
-- Without the lists of invalid lines: a page of them could be megabytes.
select i.id, p.sku, i.status, i.format, i.lines, i.imported, i.duplicates_in_file, i.duplicates_in_stock,
       i.duplicates_delivered, i.invalid_count, '[]'::jsonb as invalid, i.error, i.actor, i.created_at, i.finished_at
from card_imports i
join products p on p.id = i.product_id
where i.product_id = @product_id and i.id < @before::uuid
order by i.id desc
limit @max_rows;
