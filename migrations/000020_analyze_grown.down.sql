drop function analyze_grown();

create function outbox_analyze_grown(day date) returns boolean
language plpgsql
set search_path from current
as $$
declare
    part regclass := to_regclass(format('%I', 'outbox_' || to_char(day, 'YYYYMMDD')));
begin
    if part is null or pg_relation_size(part) / current_setting('block_size')::bigint
            < 10 * greatest((select relpages from pg_class where oid = part), 1) then
        return false;
    end if;
    execute format('analyze %s', part);
    return true;
end $$;
