drop function expect_rows(bigint, integer, text);
