package pgdb_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/pgdb"
)

// lostAnswer loses the server's answer to whatever holds "commit", once committed says that it has been committed.
type lostAnswer struct {
	net.Conn

	committed func() bool
	asked     atomic.Bool
}

func (c *lostAnswer) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "commit") {
		c.asked.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *lostAnswer) Read(p []byte) (int, error) {
	// It may have been waiting since before the question: pgx reads in the background while it writes on a slow machine.
	n, err := c.Conn.Read(p)
	if !c.asked.Load() {
		return n, err
	}
	committed := false
	for !committed { // each look is a query
		committed = c.committed()
	}
	_ = c.Close()
	return 0, io.ErrUnexpectedEOF
}

// A commit whose answer was lost is unknown, and never told as failed: whoever is told that does it again.
func TestALostAnswerToCommitIsUnknown(t *testing.T) {
	t.Parallel()
	insert := func(db pgdb.DB) error {
		_, err := db.Exec(t.Context(), insertNote, "lost")
		return err
	}
	for name, in := range map[string]func(*pgxpool.Pool) error{
		"by itself": func(pool *pgxpool.Pool) error {
			return pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error { return note(t.Context(), tx, "lost") })
		},
		"with the last statements": func(pool *pgxpool.Pool) error {
			var end pgdb.End
			return pgdb.InTxEnd(t.Context(), pool, &end, func(pgx.Tx) error { return end.Ask(insert) })
		},
	} {
		for _, mode := range []pgx.QueryExecMode{
			pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec,
			pgx.QueryExecModeSimpleProtocol,
		} {
			if name != "by itself" && mode != pgx.QueryExecModeExec && mode != pgx.QueryExecModeSimpleProtocol {
				continue // the word is sent before it is meant, to be prepared
			}
			t.Run(name+"/"+mode.String(), func(t *testing.T) {
				t.Parallel()
				base := setupNotes(t)
				config := base.Config()
				config.ConnConfig.DefaultQueryExecMode = mode
				dial := config.ConnConfig.DialFunc
				config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := dial(ctx, network, addr)
					return &lostAnswer{Conn: conn, committed: func() bool {
						var n int
						err := base.QueryRow(context.WithoutCancel(ctx), `select count(*) from notes`).Scan(&n)
						return err != nil || n > 0
					}}, err
				}
				pool, err := pgxpool.NewWithConfig(t.Context(), config)
				require.NoError(t, err)
				t.Cleanup(pool.Close)
				require.ErrorIs(t, in(pool), pgdb.ErrCommitUnknown)
				require.Equal(t, 1, notes(t, base), "it is committed")
			})
		}
	}
}

func TestAConnectionThatBrokeBeforeTheCommitIsCertain(t *testing.T) {
	t.Parallel()
	for name, fn := range map[string]func(tx pgx.Tx) error{
		"after a statement": func(tx pgx.Tx) error {
			return cmpOr(note(t.Context(), tx, "x"), func() error { return tx.Conn().Close(t.Context()) })
		},
		"before the BEGIN": func(tx pgx.Tx) error {
			_ = tx.Conn().Close(t.Context())
			_, _ = tx.Exec(t.Context(), `insert into notes values ('x')`) // without arguments, BEGIN goes alone
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := setupNotes(t)
			err := pgdb.InTx(t.Context(), pool, fn)
			require.Error(t, err)
			require.NotErrorIs(t, err, pgdb.ErrCommitUnknown)
			require.Zero(t, notes(t, pool))
		})
	}
}

// cmpOr is the first error.
func cmpOr(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

// The last trip ends soon after its context would have.
func TestTheLastTripIsBounded(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	other, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), `lock table notes in share mode`)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var end pgdb.End
	queue(t, end.Before(), "waits")
	begun := time.Now()
	err = pgdb.InTxEnd(ctx, pool, &end, func(pgx.Tx) error { return nil })
	took := time.Since(begun)
	require.NoError(t, other.Rollback(t.Context()))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, took, 12*time.Second, "5 s of grace, and a slow machine")
}

// What came after the COMMIT commits by itself, and may fail in that.
func TestTheCommitOfWhatComesAfterMayFail(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	var end pgdb.End
	queue(t, end.After(), "twice")
	queue(t, end.After(), "twice") // unique, but only checked at the commit
	require.NoError(t, pgdb.InTxEnd(t.Context(), pool, &end, func(tx pgx.Tx) error { return note(t.Context(), tx, "kept") }))
	require.Equal(t, "23505", pgErr(t, end.AfterErr()).Code)
	require.Equal(t, 1, notes(t, pool))
}
