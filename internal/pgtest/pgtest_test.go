package pgtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
)

func TestNewIsMigratedAndEmpty(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)

	pending, err := pgdb.Pending(t.Context(), pool)
	require.NoError(t, err)
	require.Empty(t, pending)
	var jobs int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from river_job`).Scan(&jobs))
	require.Zero(t, jobs)
}

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	a, b := pgtest.NewDB(t), pgtest.NewDB(t)
	require.NotEqual(t, a.URL, b.URL)

	_, err := a.Pool.Exec(t.Context(), `create table only_in_a ()`)
	require.NoError(t, err)
	var there bool
	require.NoError(t, b.Pool.QueryRow(t.Context(), `select to_regclass('only_in_a') is not null`).Scan(&there))
	require.False(t, there)
}

//nolint:tparallel // the end of the test inside is what is tested
func TestDatabaseIsDropped(t *testing.T) {
	t.Parallel()
	var db pgtest.DB
	t.Run("a test", func(t *testing.T) { db = pgtest.NewDB(t) })

	_, err := pgx.Connect(t.Context(), db.URL)
	require.ErrorContains(t, err, "does not exist")
	admin, err := pgx.Connect(t.Context(), db.AdminURL)
	require.NoError(t, err)
	require.NoError(t, admin.Close(context.WithoutCancel(t.Context())))
}

func BenchmarkNew(b *testing.B) {
	pgtest.New(b) // the server and the template are made once
	for b.Loop() {
		pgtest.New(b)
	}
}
