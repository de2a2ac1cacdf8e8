-- A person's word that an attempt was paid. lost_notice: nothing had come from its gateway. late_notice: nothing had, and the notice
-- came after all. other_amount: another amount had come, and was taken for the whole.
alter table payments add column confirmation text;
-- All rows are null: none has to be looked at.
alter table payments add constraint payments_confirmation_check
    check (confirmation in ('lost_notice', 'late_notice', 'other_amount')) not valid;
