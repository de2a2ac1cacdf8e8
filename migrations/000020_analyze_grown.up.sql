drop function outbox_analyze_grown(date);

-- Analyses the tables of this schema that have grown fourfold since that was last done, and says how many. Autovacuum
-- comes once a minute at best; until then the planner takes a table for as small as it was, prepared statements keep the
-- plans made for that, and a look at a few rows reads all of them.
create function analyze_grown() returns integer
language plpgsql
set search_path from current
set default_statistics_target = 10 -- a sample of 3,000 rows: how many rows there are is what matters
as $$
declare
    grown regclass;
    n     integer := 0;
begin
    for grown in
        select c.oid::regclass
        from pg_class c
        where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
          and pg_relation_size(c.oid) / current_setting('block_size')::bigint >= 4 * greatest(c.relpages, 4)
        order by c.oid
    loop
        execute format('analyze %s', grown);
        n := n + 1;
    end loop;
    return n;
end $$;
