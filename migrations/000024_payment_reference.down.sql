alter table payments drop column reference;
