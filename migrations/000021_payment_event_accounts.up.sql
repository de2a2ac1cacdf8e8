-- Ids of notices are an account's own: one account's notice must not pass for the repeat of another's.
alter table payment_events add column account text;
update payment_events e set account = coalesce((select p.account from payments p where p.id = e.payment_id), 'default');
alter table payment_events
    alter column account set not null,
    drop constraint payment_events_pkey,
    add constraint payment_events_pkey primary key (channel, account, event_id);
