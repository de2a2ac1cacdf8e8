-- The gateway's own id of an attempt: what it is asked by, and what money is given back against.
alter table payments add column reference text check (char_length(reference) between 1 and 255);
