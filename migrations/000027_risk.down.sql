drop table risk_assessments;
alter table orders drop column ip_fingerprint; -- and its index
