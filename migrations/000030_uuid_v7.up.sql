-- Twelve of the random bits become the fraction of the millisecond (RFC 9562 §6.2, method 3), so that ids made one after
-- the other in one millisecond keep their order, and lists with it.
create or replace function uuid_v7() returns uuid
language sql volatile
return (
    select encode(
        overlay(
            overlay(uuid_send(gen_random_uuid())
                placing substring(int8send(t.us / 1000) from 3)
                from 1 for 6)
            placing substring(int8send(28672 + (t.us % 1000) * 4096 / 1000) from 7) -- 0x7000: the version
            from 7 for 2),
        'hex')::uuid
    from (select (extract(epoch from clock_timestamp()) * 1000000)::bigint as us) as t);
