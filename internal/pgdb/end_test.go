package pgdb_test

import (
	"cmp"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/pgdb"
)

const insertNote = `insert into notes (body) values ($1)`

func TestInTxEndSendsTheLastStatementsWithTheCommit(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	var end pgdb.End
	require.NoError(t, pgdb.InTxEnd(t.Context(), pool, &end, func(tx pgx.Tx) error {
		queue(t, end.Before(), "second")
		queue(t, end.After(), "third")
		queue(t, end.After(), "fourth")
		return note(t.Context(), tx, "first")
	}))
	require.NoError(t, end.AfterErr())
	require.Equal(t, 4, notes(t, pool))
	requireNoneHeld(t, pool)
}

// A transaction of one trip: BEGIN, statements and COMMIT.
func TestInTxEndWithNothingBefore(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	var end pgdb.End
	queue(t, end.Before(), "only")
	require.NoError(t, pgdb.InTxEnd(t.Context(), pool, &end, func(pgx.Tx) error { return nil }))
	require.Equal(t, 1, notes(t, pool))
	require.NoError(t, pgdb.InTxEnd(t.Context(), pool, &pgdb.End{}, func(pgx.Tx) error { return nil }), "nothing at all")
	requireNoneHeld(t, pool)
}

func TestAFailedLastStatementIsNoCommit(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	var end pgdb.End
	for _, body := range []any{"fine", nil, "behind it"} {
		queue(t, end.Before(), body)
	}
	queue(t, end.After(), "after")
	err := pgdb.InTxEnd(t.Context(), pool, &end, func(tx pgx.Tx) error { return note(t.Context(), tx, "first") })
	require.Equal(t, "23502", pgErr(t, err).Code)
	require.NotErrorIs(t, err, pgdb.ErrCommitUnknown)
	require.Zero(t, notes(t, pool))
	requireNoneHeld(t, pool)
}

func TestAFailureAfterTheCommitIsNoFailure(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	var end pgdb.End
	queue(t, end.After(), "taken back with the one behind it")
	queue(t, end.After(), nil)
	require.NoError(t, pgdb.InTxEnd(t.Context(), pool, &end, func(tx pgx.Tx) error { return note(t.Context(), tx, "kept") }))
	require.Equal(t, "23502", pgErr(t, end.AfterErr()).Code)
	require.Equal(t, 1, notes(t, pool))
	requireNoneHeld(t, pool)
}

// Nobody knows what an answer that cannot be read would have meant, and the COMMIT was behind it.
func TestAnUnreadableLastAnswerIsUnknown(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	unreadable := errors.New("unreadable")
	var end pgdb.End
	require.NoError(t, end.Ask(func(db pgdb.DB) error {
		_, err := db.Exec(t.Context(), insertNote, "kept")
		return cmp.Or(err, unreadable)
	}))
	err := pgdb.InTxEnd(t.Context(), pool, &end, func(pgx.Tx) error { return nil })
	require.ErrorIs(t, err, unreadable)
	require.ErrorIs(t, err, pgdb.ErrCommitUnknown)
	require.Equal(t, 1, notes(t, pool), "as it happens")
	requireNoneHeld(t, pool)
}

func TestABrokenConnectionInTheLastTripIsUnknown(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	var end pgdb.End
	err := pgdb.InTxEnd(t.Context(), pool, &end, func(tx pgx.Tx) error {
		return end.Ask(func(db pgdb.DB) error {
			if _, err := db.Exec(t.Context(), insertNote, "lost"); err != nil {
				return err
			}
			return errors.Join(errors.New("the wire is cut"), tx.Conn().PgConn().Conn().Close())
		})
	})
	require.ErrorIs(t, err, pgdb.ErrCommitUnknown)
	requireNoneHeld(t, pool)
}

// What cannot be sent at all has not been committed, and neither has what the server cannot parse, also behind the COMMIT.
func TestAStatementThatCannotBePreparedIsNoCommit(t *testing.T) {
	t.Parallel()
	for name, add := range map[string]func(end *pgdb.End) error{
		"arguments": func(end *pgdb.End) error {
			_, err := end.Before().Exec(t.Context(), insertNote, make(chan int))
			return err
		},
		"before": func(end *pgdb.End) error { _, err := end.Before().Exec(t.Context(), `insert nowhere`); return err },
		"after":  func(end *pgdb.End) error { _, err := end.After().Exec(t.Context(), `insert nowhere`); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := setupNotes(t)
			var end pgdb.End
			require.NoError(t, add(&end))
			err := pgdb.InTxEnd(t.Context(), pool, &end, func(tx pgx.Tx) error { return note(t.Context(), tx, "x") })
			require.Error(t, err)
			require.NotErrorIs(t, err, pgdb.ErrCommitUnknown)
			require.Zero(t, notes(t, pool))
			requireNoneHeld(t, pool)
		})
	}
}

func queue(t *testing.T, db pgdb.DB, body any) {
	t.Helper()
	_, err := db.Exec(t.Context(), insertNote, body)
	require.NoError(t, err)
}

// A first statement of each kind brings the BEGIN along, and a rollback takes back what it did.
func TestTheFirstStatementBegins(t *testing.T) {
	t.Parallel()
	back := errors.New("back")
	for name, first := range map[string]func(tx pgx.Tx) error{
		"Exec": func(tx pgx.Tx) error { return note(t.Context(), tx, "x") },
		"several commands": func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `insert into notes (body) values ('x'); insert into notes (body) values ('y')`)
			return err
		},
		"Query": func(tx pgx.Tx) error {
			rows, err := tx.Query(t.Context(), insertNote+` returning body`, "x")
			if err != nil {
				return err
			}
			_, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		},
		"QueryRow": func(tx pgx.Tx) error {
			var body string
			return tx.QueryRow(t.Context(), insertNote+` returning body`, "x").Scan(&body)
		},
		"CopyFrom": func(tx pgx.Tx) error {
			_, err := tx.CopyFrom(t.Context(), pgx.Identifier{"notes"}, []string{"body"}, pgx.CopyFromRows([][]any{{"x"}}))
			return err
		},
		"savepoint": func(tx pgx.Tx) error {
			return pgdb.InTx(t.Context(), tx, func(tx pgx.Tx) error { return note(t.Context(), tx, "x") })
		},
		"Prepare": func(tx pgx.Tx) error {
			_, err := tx.Prepare(t.Context(), "note", insertNote)
			if err == nil {
				_, err = tx.Exec(t.Context(), "note", "x")
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := setupNotes(t)
			err := pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				require.NoError(t, first(tx))
				require.NoError(t, note(t.Context(), tx, "and then another"))
				return back
			})
			require.ErrorIs(t, err, back)
			require.Zero(t, notes(t, pool))
			requireNoneHeld(t, pool)
		})
	}
}

func TestAFirstStatementThatFails(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(tx pgx.Tx) error{
		"Exec": func(tx pgx.Tx) error { _, err := tx.Exec(t.Context(), insertNote, nil); return err },
		"Query": func(tx pgx.Tx) error {
			rows, err := tx.Query(t.Context(), `select 1 / $1::int`, 0)
			if err != nil {
				return err
			}
			rows.Next()
			return rows.Err()
		},
		"QueryRow": func(tx pgx.Tx) error {
			var n int
			return tx.QueryRow(t.Context(), `select 1 / $1::int`, 0).Scan(&n)
		},
		"Query that fails before its first row": func(tx pgx.Tx) error {
			_, err := tx.Query(t.Context(), insertNote+` returning body`, nil) //nolint:sqlclosecheck // there are none: that is the point
			return err
		},
		"no such table": func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `delete from nowhere where id = $1`, 1)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := setupNotes(t)
			connections := pool.Stat().NewConnsCount()
			err := pgdb.InTx(t.Context(), pool, fails)
			require.NotEmpty(t, pgErr(t, err).Code)
			requireNoneHeld(t, pool)
			require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error { return note(t.Context(), tx, "the pool is fine") }))
			require.Equal(t, connections, pool.Stat().NewConnsCount(), "and the connection too")
		})
	}
}

func TestTogether(t *testing.T) {
	t.Parallel()
	pool := setupNotes(t)
	var one, two int
	ask := func(into *int, sql string, args ...any) func(pgdb.DB) error {
		return func(db pgdb.DB) error { return db.QueryRow(t.Context(), sql, args...).Scan(into) }
	}
	nothing := func(pgdb.DB) error { return nil }
	require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		return pgdb.Together(t.Context(), tx, ask(&one, insertNote+` returning 1`, "x"), nothing, ask(&two, `select count(*) + $1 from notes`, 1))
	}))
	require.Equal(t, []int{1, 2}, []int{one, two}, "the second sees what the first did")
	require.NoError(t, pgdb.Together(t.Context(), nil, nothing), "nobody asks: nothing is sent")

	err := pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		return pgdb.Together(t.Context(), tx, ask(&one, `select 1 / $1::int`, 0), ask(&two, `select 2`))
	})
	require.Equal(t, "22012", pgErr(t, err).Code)
	own := errors.New("its own")
	require.ErrorIs(t, pgdb.Together(t.Context(), nil, func(pgdb.DB) error { return own }), own)
	requireNoneHeld(t, pool)
}

func TestTogetherRefusesACopy(t *testing.T) {
	t.Parallel()
	err := pgdb.Together(t.Context(), nil, func(db pgdb.DB) error {
		_, err := db.CopyFrom(t.Context(), pgx.Identifier{"notes"}, []string{"body"}, nil)
		return err
	})
	require.ErrorContains(t, err, "COPY")
}

func TestAQueuedStatementHasNoAnswer(t *testing.T) {
	t.Parallel()
	var end pgdb.End
	db := end.Before()
	_, err := db.Query(t.Context(), `select 1`) //nolint:sqlclosecheck // there are no rows
	require.Error(t, err)
	require.Error(t, db.QueryRow(t.Context(), `select 1`).Scan())
}

func pgErr(t *testing.T, err error) *pgconn.PgError {
	t.Helper()
	found, ok := errors.AsType[*pgconn.PgError](err)
	require.True(t, ok, "%v", err)
	return found
}
