-- For statements that are sent together with their COMMIT: one that has to touch so many rows, and has not, ends the
-- transaction here, because nobody looks at its answer before. Somebody else was quicker, so it may be run again.
create function expect_rows(touched bigint, wanted integer) returns void
language plpgsql
as $$
begin
    if touched <> wanted then
        raise exception 'a statement touched % rows of %', touched, wanted using errcode = 'serialization_failure';
    end if;
end $$;
