package pgdb_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
)

type countingTracer struct{ queries atomic.Int32 }

func (c *countingTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.queries.Add(1)
	return ctx
}

func (c *countingTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestOpenSetsUpConnections(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	tracer := &countingTracer{}
	pool, err := pgdb.Open(t.Context(), pgdb.Config{
		URL: db.URL + "&search_path=public", Schema: "shop_1", MaxConns: 3, AppName: "till", Tracer: tracer,
	})
	require.NoError(t, err)
	t.Cleanup(pool.Close)

	for setting, want := range map[string]string{
		"search_path":                         `"shop_1"`,
		"application_name":                    "till",
		"idle_in_transaction_session_timeout": "1min",
	} {
		var got string
		require.NoError(t, pool.QueryRow(t.Context(), `select current_setting($1)`, setting).Scan(&got))
		require.Equal(t, want, got, setting)
	}
	require.Equal(t, int32(3), pool.Config().MaxConns)
	require.Positive(t, tracer.queries.Load())
}

func TestOpenRefusesBadConfig(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"Shop", "1shop", `a"b`, "a.b", "a b", "schöp", "abcdefghijklmnopqrstuvwxyz0123456789abcdef"} {
		_, err := pgdb.Open(t.Context(), pgdb.Config{URL: "postgres://localhost/x", Schema: schema})
		require.ErrorContains(t, err, "schema", schema)
	}
	_, err := pgdb.Open(t.Context(), pgdb.Config{Schema: "No", MaxConns: -1})
	require.ErrorContains(t, err, "no database URL")
	require.ErrorContains(t, err, `schema "No"`)
	require.ErrorContains(t, err, "max conns -1", "every problem at once")
}

// Behind an old pgbouncer there are no prepared statements. The modes without them that cannot send []uuid.UUID are refused;
// the one that can, does.
func TestOpenKnowsTheModesWithoutPreparedStatements(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	for _, mode := range []string{"exec", "simple_protocol"} {
		_, err := pgdb.Open(t.Context(), pgdb.Config{URL: db.URL + "&default_query_exec_mode=" + mode})
		require.ErrorContains(t, err, "use cache_describe", mode)
	}
	pool, err := pgdb.Open(t.Context(), pgdb.Config{URL: db.URL + "&default_query_exec_mode=cache_describe"})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	ids := []uuid.UUID{uuid.New(), uuid.New()}
	var back []uuid.UUID
	require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		return tx.QueryRow(t.Context(), `select $1::uuid[]`, ids).Scan(&back)
	}))
	require.Equal(t, ids, back)
	var prepared int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from pg_prepared_statements`).Scan(&prepared))
	require.Zero(t, prepared)
}

func TestOpenDoesNotPrintThePassword(t *testing.T) {
	t.Parallel()
	_, err := pgdb.Open(t.Context(), pgdb.Config{URL: "postgres://u:hunter2@127.0.0.1:1/x"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}
