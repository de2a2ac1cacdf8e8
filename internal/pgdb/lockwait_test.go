package pgdb_test

import (
	"sync"
	"testing"
	"time"

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
		return pgdb.InTxEnd(t.Context(), pool, &pgdb.End{LockWait: 300 * time.Millisecond}, func(tx pgx.Tx) error {
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

// The limit comes with BEGIN, whatever the first statement is, and ends with the transaction.
func TestTheLimitTravelsWithBegin(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	var usual string
	require.NoError(t, pool.QueryRow(t.Context(), `show lock_timeout`).Scan(&usual))
	for name, first := range map[string]func(tx pgx.Tx) error{
		"a query":            func(tx pgx.Tx) error { return tx.QueryRow(t.Context(), `select $1::int`, 1).Scan(new(int)) },
		"several statements": func(tx pgx.Tx) error { _, err := tx.Exec(t.Context(), `select 1; select 2`); return err },
		"a savepoint": func(tx pgx.Tx) error {
			inner, err := tx.Begin(t.Context())
			if err != nil {
				return err
			}
			return inner.Commit(t.Context())
		},
	} {
		for limit, want := range map[time.Duration]string{1234 * time.Millisecond: "1234ms", 0: usual} {
			var got string
			require.NoError(t, pgdb.InTxEnd(t.Context(), pool, &pgdb.End{LockWait: limit}, func(tx pgx.Tx) error {
				if err := first(tx); err != nil {
					return err
				}
				return tx.QueryRow(t.Context(), `show lock_timeout`).Scan(&got)
			}), name)
			require.Equal(t, want, got, name)
		}
	}
	var after string
	require.NoError(t, pool.QueryRow(t.Context(), `show lock_timeout`).Scan(&after))
	require.Equal(t, usual, after)
}
