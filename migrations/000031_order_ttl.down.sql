alter table products drop column order_ttl_seconds;
