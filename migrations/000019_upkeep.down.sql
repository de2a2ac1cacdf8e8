drop function outbox_analyze_grown(date);
drop function outbox_drop_partition(date);
drop table worker_heartbeats;
