package risk_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/dbq"
)

// Each question has its index, before there are statistics and after, and reads no more orders than it says: of a buyer who
// has all the 20,000 that there are but one, and of whoever has that one.
func TestPlans(t *testing.T) {
	t.Parallel()
	b := setup(t, "")
	mark := []byte("0123456789abcdef")
	_, err := b.pool.Exec(t.Context(), `insert into orders (id, number, currency, total_amount, phone_fingerprint, email_fingerprint,
			ip_fingerprint, locale, api_key_id, placed_at, expires_at)
		select uuid_v7(), 'n' || n, 'CNY', 100, $1, $1, $1, 'en', $2, now(), now() + interval '1 hour' from generate_series(1, 20000) n`,
		mark, uuid.New())
	require.NoError(t, err)
	rare := []byte("fedcba9876543210")
	_, err = b.pool.Exec(t.Context(), `update orders set phone_fingerprint = $1, email_fingerprint = $1, ip_fingerprint = $1
		where number = 'n1'`, rare)
	require.NoError(t, err)
	for _, stage := range []string{"no statistics", "analyzed"} {
		if stage == "analyzed" {
			_, err := b.pool.Exec(t.Context(), `analyze orders`)
			require.NoError(t, err)
		}
		for index, ask := range map[string]func(*dbq.Queries, dbq.RiskCountByPhoneParams) (int64, error){
			"orders_phone": func(q *dbq.Queries, p dbq.RiskCountByPhoneParams) (int64, error) {
				rows, err := q.RiskCountByPhone(t.Context(), p)
				return rows[0].Found, err
			},
			"orders_email": func(q *dbq.Queries, p dbq.RiskCountByPhoneParams) (int64, error) {
				rows, err := q.RiskCountByEmail(t.Context(), dbq.RiskCountByEmailParams(p))
				return rows[0].Found, err
			},
			"orders_ip": func(q *dbq.Queries, p dbq.RiskCountByPhoneParams) (int64, error) {
				rows, err := q.RiskCountByIP(t.Context(), dbq.RiskCountByIPParams(p))
				return rows[0].Found, err
			},
		} {
			for _, who := range []struct {
				fingerprint []byte
				orders      int
			}{{mark, 50}, {rare, 1}} {
				plan := &explained{DBTX: b.pool}
				found, err := ask(dbq.New(plan), dbq.RiskCountByPhoneParams{
					Ns: []int32{0}, Fingerprints: [][]byte{who.fingerprint}, Selves: []uuid.UUID{uuid.New()}, Since: []uuid.UUID{uuid.Nil},
					Most: []int32{50}, Completed: []bool{false},
				})
				require.NoError(t, err)
				require.EqualValues(t, who.orders, found)
				require.Regexp(t, `Index (Only )?Scan Backward using `+index, plan.text, stage)
				require.NotContains(t, plan.text, "Rows Removed by Filter", "%s\n%s", stage, plan.text)
				require.NotContains(t, plan.text, "Sort", "%s\n%s", stage, plan.text)
			}
		}
	}
}

// explained keeps the plan of what is asked through it.
type explained struct {
	dbq.DBTX

	text string
}

// Query asks, and asks for the plan.
func (e *explained) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := e.DBTX.Query(ctx, "explain (analyze, timing off, buffers off) "+sql, args...)
	if err != nil {
		return nil, err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	e.text = strings.Join(lines, "\n")
	return e.DBTX.Query(ctx, sql, args...)
}
