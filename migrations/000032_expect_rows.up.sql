-- For statements that are sent together with their COMMIT: one that has to touch so many rows, and has not, ends the
-- transaction here, because nobody looks at its answer before. The code says whether it may be run again: 40001 where
-- somebody else can have been quicker; by default it is nobody's fault but the program's (assert_failure).
create function expect_rows(touched bigint, wanted integer, code text default 'P0004') returns void
language plpgsql
as $$
begin
    if touched <> wanted then
        raise exception 'a statement touched % rows of %', touched, wanted using errcode = code;
    end if;
end $$;
