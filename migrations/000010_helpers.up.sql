-- River puts a GIN index on every job's args and metadata. Nothing here searches by them (the ledgers hold the keys),
-- and they cost about 15 % of the relay's throughput.
drop index river_job_args_index;
drop index river_job_metadata_index;
-- Nor by kind alone: every job here is found by its queue.
drop index river_job_kind;

-- The queue is a small, hot table: without this, autovacuum waits for 20 % of a table that never stays large.
alter table river_job set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0.05);

-- A UUIDv7 (RFC 9562 §5.7) for rows that are born in SQL. Go makes its own.
create function uuid_v7() returns uuid
language sql volatile
return encode(
    set_bit(
        set_bit(
            overlay(uuid_send(gen_random_uuid())
                placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                from 1 for 6),
            52, 1),
        53, 1),
    'hex')::uuid;
