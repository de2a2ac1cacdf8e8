-- name: RiskSubjects :many
-- What the rules look at besides the order itself.
select o.id, o.phone_fingerprint, o.email_fingerprint, o.ip_fingerprint,
       exists (select from risk_assessments a where a.order_id = o.id) as assessed
from orders o
where o.id = any(@ids::uuid[]);

-- name: RiskCountByPhone :many
-- For each probe: how many of the last orders of a telephone number, other than this one, were placed since (ids are in
-- the order of time). It reads as many rows as the probe says, whoever has a million orders. A range instead of "=" leaves
-- the planner one index to read in this order: where half of all orders come from one buyer, it would else read all the
-- orders there are, backwards, for those of another.
select p.n::int as n,
       (select count(*)
        from (select o.status
              from orders o
              where (o.phone_fingerprint, o.id) >= (p.fingerprint, p.since)
                and (o.phone_fingerprint, o.id) <= (p.fingerprint, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
                and o.phone_fingerprint is not null and o.id <> p.self
              order by o.phone_fingerprint desc, o.id desc
              limit p.most) as last
        where not p.completed or last.status = 'completed') as found
from (select unnest(@ns::int[]) as n, unnest(@fingerprints::bytea[]) as fingerprint, unnest(@selves::uuid[]) as self,
             unnest(@since::uuid[]) as since, unnest(@most::int[]) as most, unnest(@completed::bool[]) as completed) as p;

-- name: RiskCountByEmail :many
-- As RiskCountByPhone, of an e-mail address.
select p.n::int as n,
       (select count(*)
        from (select o.status
              from orders o
              where (o.email_fingerprint, o.id) >= (p.fingerprint, p.since)
                and (o.email_fingerprint, o.id) <= (p.fingerprint, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
                and o.email_fingerprint is not null and o.id <> p.self
              order by o.email_fingerprint desc, o.id desc
              limit p.most) as last
        where not p.completed or last.status = 'completed') as found
from (select unnest(@ns::int[]) as n, unnest(@fingerprints::bytea[]) as fingerprint, unnest(@selves::uuid[]) as self,
             unnest(@since::uuid[]) as since, unnest(@most::int[]) as most, unnest(@completed::bool[]) as completed) as p;

-- name: RiskCountByIP :many
-- As RiskCountByPhone, of an address on the network.
select p.n::int as n,
       (select count(*)
        from (select o.status
              from orders o
              where (o.ip_fingerprint, o.id) >= (p.fingerprint, p.since)
                and (o.ip_fingerprint, o.id) <= (p.fingerprint, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
                and o.ip_fingerprint is not null and o.id <> p.self
              order by o.ip_fingerprint desc, o.id desc
              limit p.most) as last
        where not p.completed or last.status = 'completed') as found
from (select unnest(@ns::int[]) as n, unnest(@fingerprints::bytea[]) as fingerprint, unnest(@selves::uuid[]) as self,
             unnest(@since::uuid[]) as since, unnest(@most::int[]) as most, unnest(@completed::bool[]) as completed) as p;

-- name: RiskAssessmentInsert :many
-- The ledger of assessments: whoever inserts an order's row decides what becomes of it.
insert into risk_assessments (order_id, decision, rules, scorer, score, scorer_reason, assessed_at)
select order_id, decision, string_to_array(rules, ','), scorer, case when scored then score end, scorer_reason, @assessed_at::timestamptz
from (select unnest(@order_ids::uuid[]) as order_id, unnest(@decisions::text[]) as decision, unnest(@rules::text[]) as rules,
             unnest(@scorers::text[]) as scorer, unnest(@scores::float8[]) as score, unnest(@scored::bool[]) as scored,
             unnest(@scorer_reasons::text[]) as scorer_reason) as assessed
order by order_id
on conflict (order_id) do nothing
returning order_id;

-- name: RiskReleased :many
-- Those of the orders that a person has let go on since they were paid.
select o.id
from orders o
where o.id = any(@ids::uuid[])
  and exists (select from order_timeline t
              where t.order_id = o.id and t.event = 'order.released' and t.payment_status <> 'unpaid' and t.actor not like 'system:%');

-- name: RiskUnassessed :many
-- Those of the orders that neither an assessment nor a person has decided about since they were paid.
select o.id
from orders o
where o.id = any(@ids::uuid[])
  and not exists (select from risk_assessments a where a.order_id = o.id)
  and not exists (select from order_timeline t
                  where t.order_id = o.id and t.event = 'order.released' and t.payment_status <> 'unpaid' and t.actor not like 'system:%');

-- name: RiskAssessment :one
select a.order_id, a.decision, a.rules, a.scorer, a.score, a.scorer_reason, a.assessed_at
from risk_assessments a
where a.order_id = @order_id;
