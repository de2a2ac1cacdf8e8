drop trigger failed_jobs_note on river_job;
drop function failed_jobs_note();
drop function failed_job_note(river_job);
drop table failed_job_interventions;
drop function failed_job_interventions_keep();
drop table failed_jobs;
