alter table orders drop column first_expires_at;
