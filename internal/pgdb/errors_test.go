package pgdb_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// The codes are Postgres' own, so they are provoked rather than written down again.
func TestViolations(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	_, err := pool.Exec(t.Context(), `
		create table shelf (id int constraint shelf_key primary key);
		create table book (shelf int constraint book_shelf references shelf, pages int constraint book_pages check (pages > 0));
		insert into shelf values (1)`)
	require.NoError(t, err)
	is := map[string]func(error, ...string) bool{
		"unique": pgdb.IsUniqueViolation, "foreign key": pgdb.IsForeignKeyViolation, "check": pgdb.IsCheckViolation,
	}
	for sql, want := range map[string]struct{ kind, constraint string }{
		`insert into shelf values (1)`:                {"unique", "shelf_key"},
		`insert into book values (2, 1)`:              {"foreign key", "book_shelf"},
		`insert into book values (1, 0)`:              {"check", "book_pages"},
		`insert into shelf values (null)`:             {"", ""},
		`insert into shelf values (99999999999::int)`: {"", ""},
	} {
		_, err := pool.Exec(t.Context(), sql)
		require.Error(t, err)
		err = fmt.Errorf("wrapped: %w", err)
		for kind, f := range is {
			require.Equal(t, kind == want.kind, f(err), "%s: %s", kind, sql)
		}
		require.True(t, pgdb.IsDataError(err), sql)
		require.False(t, pgdb.IsRetryable(err), sql)
		if want.kind != "" {
			require.Equal(t, want.constraint, pgdb.Constraint(err))
			require.True(t, is[want.kind](err, "another", want.constraint))
			require.False(t, is[want.kind](err, "another"))
		}
	}
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{"40001": true, "40P01": true, "55P03": false, "23505": false, "57014": false} {
		err := fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code})
		require.Equal(t, want, pgdb.IsRetryable(err), code)
	}
	for _, err := range []error{nil, errors.New("x"), context.Canceled} {
		require.False(t, pgdb.IsRetryable(err))
		require.False(t, pgdb.IsDataError(err))
		require.False(t, pgdb.IsUniqueViolation(err))
		require.Empty(t, pgdb.Constraint(err))
	}
}
