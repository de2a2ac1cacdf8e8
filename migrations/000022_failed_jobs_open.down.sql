drop index failed_jobs_open;
