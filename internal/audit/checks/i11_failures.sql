-- That queues drain when faults stop is for tests to prove. What can be seen: jobs whose worker is lost and that nobody
-- gives back, although there has been somebody to do it; and jobs that ended badly without a note for a person.
select j.id::text as id, 'job of a lost worker was not given back' as what, 'within 15 s' as expected,
       format('%s by %s, running since %s', j.kind, j.attempted_by[cardinality(j.attempted_by)], j.attempted_at) as actual
from river_job j
where j.state = 'running' and j.queue in ('relay', 'cards', 'sms', 'webhooks', 'payments', 'upkeep')
  and j.attempted_at < now() - interval '60 seconds' and cardinality(j.attempted_by) > 0
  and not exists (select from worker_heartbeats h
                  where h.client_id = j.attempted_by[cardinality(j.attempted_by)] and h.beat_at > now() - interval '60 seconds')
  and exists (select from worker_heartbeats h
              where h.steady_since < now() - interval '60 seconds' and h.beat_at > now() - interval '8 seconds')
union all
select j.id::text, 'job ended badly and nobody was told', 'an entry among the failed jobs', j.kind || ' is ' || j.state
from river_job j
where j.state in ('discarded', 'cancelled') and j.finalized_at < now() - interval '5 minutes'
  and not exists (select from failed_jobs f where f.job_id = j.id)
