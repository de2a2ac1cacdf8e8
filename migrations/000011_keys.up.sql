-- Data keys (Tink keysets), sealed by the master key that only the configuration holds.
create table keysets (
    purpose    text primary key check (purpose in ('seal', 'fingerprint', 'token')),
    sealed     bytea not null,
    updated_at timestamptz not null default now()
);

-- The secret is 160 random bits, so one round of SHA-256 is all the hashing it needs.
create table api_keys (
    id          uuid primary key,
    prefix      text not null constraint api_keys_prefix_key unique check (prefix ~ '^[a-z0-9]{8}$'),
    secret_hash bytea not null check (octet_length(secret_hash) = 32),
    name        text not null check (char_length(name) between 1 and 100),
    scopes      text[] not null check (cardinality(scopes) between 1 and 32),
    created_at  timestamptz not null default now(),
    expires_at  timestamptz check (expires_at > created_at),
    revoked_at  timestamptz
);
