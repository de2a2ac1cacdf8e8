alter table payments drop column confirmation;
