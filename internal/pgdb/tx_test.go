package pgdb_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/devpg"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// setupNotes gives a pool on a database with an empty table notes(body), unique at commit.
func setupNotes(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.New(t)
	_, err := pool.Exec(t.Context(), `create table notes (body text not null constraint notes_once unique deferrable initially deferred)`)
	require.NoError(t, err)
	return pool
}

func note(ctx context.Context, tx pgx.Tx, body string) error {
	_, err := tx.Exec(ctx, `insert into notes values ($1)`, body)
	return err
}

func notes(t *testing.T, pool *pgxpool.Pool) int {
	t.Helper()
	var n int
	require.NoError(t, pool.QueryRow(context.WithoutCancel(t.Context()), `select count(*) from notes`).Scan(&n))
	return n
}

func requireNoneHeld(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	// A broken connection is given back in the background.
	require.Eventually(t, func() bool { return pool.Stat().AcquiredConns() == 0 }, 10*time.Second, 5*time.Millisecond)
}

func TestInTxCommits(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error { return note(t.Context(), tx, "a") }))
	require.Equal(t, 1, notes(t, pool))
	requireNoneHeld(t, pool)
}

func TestInTxRollsBackOnError(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	boom := errors.New("boom")
	err := pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		require.NoError(t, note(t.Context(), tx, "a"))
		return boom
	})
	require.Equal(t, boom, err, "the error is fn's own, unwrapped")
	require.Zero(t, notes(t, pool))
	requireNoneHeld(t, pool)
}

func TestInTxRollsBackOnPanic(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	require.PanicsWithValue(t, "boom", func() {
		_ = pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			require.NoError(t, note(t.Context(), tx, "a"))
			panic("boom")
		})
	})
	require.Zero(t, notes(t, pool))
	requireNoneHeld(t, pool)
}

func TestInTxRollsBackWhenCanceled(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	ctx, cancel := context.WithCancel(t.Context())
	var backend uint32
	err := pgdb.InTx(ctx, pool, func(tx pgx.Tx) error {
		backend = tx.Conn().PgConn().PID()
		require.NoError(t, note(ctx, tx, "a"))
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, notes(t, pool))
	requireNoneHeld(t, pool)
	var alive bool
	require.NoError(t, pool.QueryRow(t.Context(),
		`select exists (select from pg_stat_activity where pid = $1)`, backend).Scan(&alive))
	require.True(t, alive, "the rollback worked, so the connection is kept")
}

// A caller that goes away while the COMMIT runs does not make its outcome unknown.
func TestInTxDoesNotAbandonTheCommit(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	_, err := pool.Exec(t.Context(), `
		create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.3); return null; end $$;
		create constraint trigger slow after insert on notes deferrable initially deferred for each row execute function slow()`)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	err = pgdb.InTx(ctx, pool, func(tx pgx.Tx) error {
		time.AfterFunc(100*time.Millisecond, cancel) // the commit takes three times as long
		return note(ctx, tx, "a")
	})
	require.NoError(t, err)
	require.ErrorIs(t, ctx.Err(), context.Canceled, "the caller had gone before the commit returned")
	require.Equal(t, 1, notes(t, pool))
}

func TestInTxReturnsARefusedCommit(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	err := pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		return errors.Join(note(t.Context(), tx, "same"), note(t.Context(), tx, "same"))
	})
	require.True(t, pgdb.IsUniqueViolation(err, "notes_once"), "%v", err)
	require.NotErrorIs(t, err, pgdb.ErrCommitUnknown)
	require.Zero(t, notes(t, pool))
}

func TestInTxSwallowedErrorIsNoCommit(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	err := pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, _ = tx.Exec(t.Context(), `select 1/0`)
		return nil
	})
	require.ErrorIs(t, err, pgx.ErrTxCommitRollback)
	require.NotErrorIs(t, err, pgdb.ErrCommitUnknown)
}

func TestInTxNestsAsASavepoint(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		require.NoError(t, note(t.Context(), tx, "kept"))
		err := pgdb.InTx(t.Context(), tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `select 1/0`)
			return err
		})
		require.True(t, pgdb.IsDataError(err))
		return note(t.Context(), tx, "also kept")
	}))
	require.Equal(t, 2, notes(t, pool))
}

func TestInTxBrokenConnectionAtCommitIsUnknown(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	_, err := pool.Exec(t.Context(), `
		create function die() returns trigger language plpgsql as
			$$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
		create constraint trigger die after insert on notes deferrable initially deferred for each row execute function die()`)
	require.NoError(t, err)
	err = pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error { return note(t.Context(), tx, "a") })
	require.ErrorIs(t, err, pgdb.ErrCommitUnknown)
	requireNoneHeld(t, pool)
}

// With a synchronous standby that does not answer, a cancelled wait gives success with a warning: the transaction is
// there, and will not be after a failover.
func TestInTxUnconfirmedByTheStandbyIsUnknown(t *testing.T) {
	t.Parallel()
	srv, err := devpg.Start(t.Context(), devpg.Options{
		NoFsync:  true,
		Settings: map[string]string{"synchronous_standby_names": "nobody", "shared_buffers": "16MB"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Stop()) })
	pool, err := pgdb.Open(t.Context(), pgdb.Config{URL: srv.URL(""), Schema: "public", MaxConns: 1})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `set local synchronous_commit = local; create table notes (body text)`)
		return err
	}))

	cancelWait := func(pid uint32) {
		conn, err := pgx.Connect(t.Context(), srv.URL(""))
		require.NoError(t, err)
		defer conn.Close(t.Context())
		require.Eventually(t, func() bool {
			var canceled bool
			err := conn.QueryRow(t.Context(), `select pg_cancel_backend(pid) from pg_stat_activity
				where pid = $1 and wait_event = 'SyncRep'`, pid).Scan(&canceled)
			return err == nil && canceled
		}, 10*time.Second, 10*time.Millisecond)
	}
	done := make(chan struct{})
	err = pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		pid := tx.Conn().PgConn().PID()
		go func() {
			defer close(done)
			cancelWait(pid)
		}()
		return note(t.Context(), tx, "a")
	})
	<-done
	require.ErrorIs(t, err, pgdb.ErrCommitUnknown)
	require.ErrorContains(t, err, "synchronous replication")
	require.Equal(t, 1, notes(t, pool), "it is committed here")

	// The connection's mark does not stick to later transactions.
	require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `set local synchronous_commit = local`)
		return errors.Join(err, note(t.Context(), tx, "b"))
	}))
}
