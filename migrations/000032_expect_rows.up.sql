-- For statements that are sent together with their COMMIT: one that has to touch so many rows, and has not, ends the
-- transaction here, because nobody looks at its answer before.
create function expect_rows(touched bigint, wanted integer) returns void
language plpgsql
as $$
begin
    if touched <> wanted then
        raise exception 'a statement touched % rows of %', touched, wanted;
    end if;
end $$;
