drop table refund_items;
drop table refunds;
drop index payments_ask;
alter table payments drop column ask_at;
update payment_events set outcome = 'order_closed' where outcome = 'late_payment';
alter table payment_events
    drop constraint payment_events_outcome_check,
    add constraint payment_events_outcome_check check (outcome in
        ('applied', 'repeated', 'wrong_amount', 'second_payment', 'order_closed', 'unmatched', 'ignored'));
delete from fulfillments f where exists (
    select from fulfillments other where other.order_id = f.order_id and other.event_id < f.event_id);
alter table fulfillments
    drop constraint fulfillments_pkey,
    add constraint fulfillments_pkey primary key (order_id);
alter table order_items drop column refunded_quantity, drop column returned_quantity;
drop index orders_due;
create index orders_expiring on orders (expires_at) where status = 'pending_payment';
alter table orders drop column closed_at;
drop table order_timeline;
