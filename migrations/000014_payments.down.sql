drop table payment_events;
drop table payments;
