package pgdb_test

import (
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// Of those who wait for one row only the first hears of a tuple; all of them wait for a row.
func TestALockTimeoutTellsARowFromATable(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	_, err := pool.Exec(t.Context(), `create schema foreign_to_us; create table foreign_to_us.things (id integer);
		create table things (id integer primary key, n integer); insert into things values (1, 0), (2, 0)`)
	require.NoError(t, err)
	wait := func(sql string) error {
		return pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `set local lock_timeout = 300`); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), sql) // without a round trip to prepare it, which waits for tables, too
			return err
		})
	}
	const row = `update things set n = n + 1 where id = 1`
	require.NoError(t, wait(row))
	for held, table := range map[string]bool{
		`select from things where id = 1 for update`:                                                           false,
		`lock table things in access exclusive mode`:                                                           true,
		`create index on things (n)`:                                                                           true,
		`create table others (id integer references things)`:                                                   true,
		`lock table foreign_to_us.things in access exclusive mode; select from things where id = 1 for update`: false,
	} {
		holder, err := pool.Begin(t.Context())
		require.NoError(t, err)
		_, err = holder.Exec(t.Context(), held)
		require.NoError(t, err)
		errs := make([]error, 3)
		var waiters sync.WaitGroup
		for i := range errs {
			waiters.Go(func() { errs[i] = wait(row) })
		}
		waiters.Wait()
		for _, err := range errs {
			require.True(t, pgdb.IsLockTimeout(err), "%s: %v", held, err)
			require.Equal(t, table, pgdb.IsRetryable(err), "%s: %v", held, err)
			require.Equal(t, !table, pgdb.IsMembers(err), "%s: %v", held, err)
		}
		require.NoError(t, holder.Rollback(t.Context()))
	}
	require.NoError(t, wait(row))
}
