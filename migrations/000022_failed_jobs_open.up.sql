-- For counting the open ones at every scrape of the metrics: without it, that would read the rows themselves.
create index failed_jobs_open on failed_jobs (queue, kind, failed_at) where status = 'open';
