drop function emit(text, text, text, jsonb, jsonb);
drop function outbox_epoch();
drop table outbox_epochs;
drop function outbox_make_partitions(date, date);
drop table outbox;
drop sequence outbox_seq;
