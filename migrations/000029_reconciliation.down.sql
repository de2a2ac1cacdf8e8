drop index refunds_finished;
drop index payments_settled;
drop table reconciliation_entries;
