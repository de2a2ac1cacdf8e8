create table products (
    id             uuid primary key,
    sku            text not null constraint products_sku_key unique check (sku ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    name           text not null check (char_length(name) between 1 and 200),
    kind           text not null check (kind in ('card', 'counted')),
    status         text not null default 'active' check (status in ('active', 'disabled')),
    price_amount   bigint not null check (price_amount between 1 and 1000000000000),
    price_currency text not null check (price_currency ~ '^[A-Z]{3}$'),
    low_stock_at   bigint check (low_stock_at >= 0),
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now()
);

-- One row a product, apart from it: the row that orders lock and update is narrow and stays in place (HOT).
create table stock (
    product_id uuid primary key references products,
    available  bigint not null default 0 constraint stock_not_oversold check (available >= 0)
) with (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Everything that ever came in or was taken out by hand. Their sum is I1's "imported".
create table stock_movements (
    id         uuid primary key,
    product_id uuid not null references products,
    delta      bigint not null check (delta <> 0),
    reason     text not null check (char_length(reason) between 1 and 200),
    actor      text not null,
    created_at timestamptz not null default now()
);
create index stock_movements_product on stock_movements (product_id, id);

create table card_imports (
    id                   uuid primary key,
    product_id           uuid not null references products,
    status               text not null check (status in ('running', 'completed', 'failed')),
    format               text not null check (format in ('text', 'csv')),
    lines                bigint not null default 0 check (lines >= 0),
    imported             bigint not null default 0 check (imported >= 0),
    duplicates_in_file   bigint not null default 0 check (duplicates_in_file >= 0),
    duplicates_in_stock  bigint not null default 0 check (duplicates_in_stock >= 0),
    duplicates_delivered bigint not null default 0 check (duplicates_delivered >= 0),
    invalid_count        bigint not null default 0 check (invalid_count >= 0),
    invalid              jsonb not null default '[]', -- the first of them: [{line, reason}]
    error                text,
    actor                text not null,
    created_at           timestamptz not null default now(),
    alive_at             timestamptz not null default now(), -- the last sign of life while it runs
    finished_at          timestamptz,
    constraint card_imports_product_key unique (product_id, id),
    constraint card_imports_finished_has_time check ((status = 'running') = (finished_at is null)),
    constraint card_imports_failed_has_error check ((status = 'failed') = (error is not null))
);
create index card_imports_running on card_imports (alive_at) where status = 'running';

-- Where an import's lines wait, sealed already, until one statement makes them cards. Unlogged: a crash forgets the
-- import as a whole, and sending the file again is the repair. No key and no index: each is read whole, a few times.
create unlogged table card_import_lines (
    import_id   uuid not null,
    line        bigint not null,
    card_id     uuid not null,
    fingerprint bytea not null,
    sealed      bytea not null,
    expires_at  timestamptz
);

-- One foreign key of two columns, which says more than two of one and costs half: each adds 3 to 5 s to the import of
-- a million cards.
create table cards (
    id          uuid primary key,
    product_id  uuid not null,
    import_id   uuid not null,
    state       text not null default 'available' check (state in ('available', 'delivered', 'disabled', 'revoked')),
    fingerprint bytea not null check (octet_length(fingerprint) = 16),
    sealed      bytea not null,
    expires_at  timestamptz,
    constraint cards_fingerprint_key unique (product_id, fingerprint),
    foreign key (product_id, import_id) references card_imports (product_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
create index cards_gone on cards (product_id, state) where state <> 'available'; -- counts what was delivered
create index cards_claim on cards (product_id, expires_at nulls last, id) where state = 'available';
