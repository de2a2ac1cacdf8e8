-- Until when an order could be paid as its first answer said, where a hold or a release has changed that: a repeated request
-- gets the same response.
alter table orders add column first_expires_at timestamptz;
