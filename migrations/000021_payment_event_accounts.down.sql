alter table payment_events
    drop constraint payment_events_pkey,
    add constraint payment_events_pkey primary key (channel, event_id),
    drop column account;
