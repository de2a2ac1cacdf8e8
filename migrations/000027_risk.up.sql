-- Where the buyer came from, as a keyed fingerprint only: to count orders by, never to be shown.
alter table orders add column ip_fingerprint bytea check (octet_length(ip_fingerprint) = 16);
create index orders_ip on orders (ip_fingerprint, id) where ip_fingerprint is not null;

-- What the risk rules and the scorer said of a paid order, before anything of it was delivered: once, for good. The row
-- commits together with what came of it, which is the delivery's job or the hold.
create table risk_assessments (
    order_id      uuid primary key references orders,
    decision      text not null check (decision in ('pass', 'hold')),
    rules         text[] not null default '{}', -- the names of those that matched
    scorer        text not null check (scorer in ('off', 'pass', 'hold', 'refuse', 'failed')),
    score         double precision,
    scorer_reason text not null default '' check (char_length(scorer_reason) <= 500), -- its words, or what was wrong with its answer
    assessed_at   timestamptz not null,
    constraint risk_assessments_pass_has_no_rules check (decision = 'hold' or (rules = '{}' and scorer in ('off', 'pass', 'failed')))
);
