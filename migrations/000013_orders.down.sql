drop table card_reveals;
drop table card_deliveries;
drop table fulfillments;
drop table order_items;
drop table orders;
