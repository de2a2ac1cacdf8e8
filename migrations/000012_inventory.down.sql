drop table cards;
drop table card_import_lines;
drop table card_imports;
drop table stock_movements;
drop table stock;
drop table products;
