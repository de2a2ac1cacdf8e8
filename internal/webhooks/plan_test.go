package webhooks

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Each query of the room has an index, before statistics are there and after.
func TestPlans(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	ctx := t.Context()
	e, _ := b.endpoint(t, "https://example.com")
	const rows = 20_000
	for _, statement := range []string{
		`insert into outbox (id, aggregatetype, aggregateid, type, payload, epoch, occurred_at)
		 select uuid_v7(), 'order', 'o', 'order.paid', '{}', 1, now() - n * interval '1 second' from generate_series(1, $1::int) n`,
		`insert into webhook_deliveries (id, event_id, event_occurred_at, event_type, endpoint_id, status, next_attempt_at, finished_at)
		 select uuid_v7(), id, occurred_at, 'order.paid', (select id from webhook_endpoints limit 1),
		        case when n % 100 = 0 then 'pending' when n % 100 = 1 then 'exhausted' else 'succeeded' end,
		        case when n % 100 = 0 then now() end, case when n % 100 <> 0 then now() end
		 from (select id, occurred_at, row_number() over () as n from outbox limit $1) as events`,
	} {
		_, err := b.pool.Exec(ctx, statement, rows)
		require.NoError(t, err)
	}
	ids := make([]uuid.UUID, 100)
	times := make([]time.Time, 100)
	rowsOf, err := b.pool.Query(ctx, `select id, occurred_at from outbox limit 100`)
	require.NoError(t, err)
	i := 0
	var id uuid.UUID
	var at time.Time
	_, err = pgx.ForEachRow(rowsOf, []any{&id, &at}, func() error { ids[i], times[i] = id, at; i++; return nil })
	require.NoError(t, err)

	rowsOf, err = b.pool.Query(ctx, `select distinct tableoid::regclass::text from outbox`)
	require.NoError(t, err)
	filled, err := pgx.CollectRows(rowsOf, pgx.RowTo[string])
	require.NoError(t, err)
	require.NotEmpty(t, filled)

	for _, stage := range []string{"no statistics", "analyzed"} {
		if stage == "analyzed" {
			_, err := b.pool.Exec(ctx, `analyze`)
			require.NoError(t, err)
		}
		for name, q := range map[string]struct {
			sql  string
			args []any
		}{
			"events": {`select e.payload
				from (select unnest($1::uuid[]) as id, unnest($2::timestamptz[]) as occurred_at) as k
				cross join lateral (select o.payload from outbox o where o.id = k.id and o.occurred_at = k.occurred_at
					limit 1) as e`, []any{ids, times}},
			"to send": {`select e.url from webhook_deliveries d join webhook_endpoints e on e.id = d.endpoint_id
				where d.id = any($1::uuid[])`, []any{ids}},
			"list": {`select id from webhook_deliveries where id < $1 order by id desc limit 20`, []any{uuid.Max}},
			"list by status": {`select id from webhook_deliveries where status = $1 and status <> 'succeeded' and id < $2
				order by id desc limit 20`, []any{"exhausted", uuid.Max}},
			"list by endpoint": {`select id from webhook_deliveries where endpoint_id = $1 and id < $2
				order by id desc limit 20`, []any{e.ID, uuid.Max}},
			"list by type": {`select id from webhook_deliveries where event_type = $1 and id < $2
				order by id desc limit 20`, []any{"a.b", uuid.Max}},
			"recover": {`select id from webhook_deliveries where endpoint_id = $1 and status <> 'succeeded' and id > $2
				order by id limit 500`, []any{e.ID, uuid.Nil}},
			"end disabled": {`select id from webhook_deliveries where endpoint_id = $1 and status = 'pending' order by id limit 1000`, []any{e.ID}},
		} {
			plan := b.explain(t, q.sql, q.args...)
			require.NotContains(t, plan, "Seq Scan on webhook_deliveries", "%s, %s:\n%s", stage, name, plan)
			for _, partition := range filled {
				require.NotContains(t, plan, "Seq Scan on "+partition, "%s, %s:\n%s", stage, name, plan)
			}
		}
	}
}

func (b *testBundle) explain(t *testing.T, sql string, args ...any) string {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), "explain "+sql, args...)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return fmt.Sprintln(strings.Join(lines, "\n"))
}
