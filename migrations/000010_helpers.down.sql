drop function uuid_v7();
alter table river_job reset (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_analyze_scale_factor);
create index river_job_kind on river_job using btree (kind);
create index river_job_metadata_index on river_job using gin (metadata);
create index river_job_args_index on river_job using gin (args);
