-- A person's word that an attempt was paid. lost_notice: nothing had come from its gateway. other_amount: another amount had, and was
-- taken for the whole.
alter table payments add column confirmation text check (confirmation in ('lost_notice', 'other_amount'));
