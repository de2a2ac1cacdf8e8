drop table reconciliation_entries;
