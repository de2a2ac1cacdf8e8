-- psql "$DATABASE_URL" -v number=INV-1001 -v total=5000 -f emit.sql
\set ON_ERROR_STOP on
set client_min_messages = warning;

begin;

create table if not exists invoices (
    number  text primary key,
    total   bigint not null,
    sent_at timestamptz not null default now()
);

insert into invoices (number, total) values (:'number', :'total');

select vendbox.emit('invoice.sent', 'invoice', :'number', jsonb_build_object('number', :'number', 'total', :'total'::bigint));

commit;
