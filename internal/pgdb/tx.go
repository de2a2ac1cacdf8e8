package pgdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	commitTimeout   = 15 * time.Second
	rollbackTimeout = 5 * time.Second
)

// ErrCommitUnknown says that a COMMIT was sent and its outcome is not known: the connection broke or timed out before
// the answer, or the server committed without the synchronous standby that was to confirm it. The work may be done or
// not, now or after a failover; repeat it only under an idempotency key.
var ErrCommitUnknown = errors.New("the outcome of the commit is unknown")

// Beginner starts a transaction: a pool, a connection, or a transaction (which gives a savepoint).
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// InTx runs fn in a transaction: committed when fn returns nil, rolled back when it returns an error or panics, or
// when ctx is done by the time fn returns. fn must not commit or roll back itself, nor keep tx.
//
// Once begun, the COMMIT is not abandoned when ctx ends, so a caller that went away does not turn a committed
// transaction into an unknown one. Errors: fn's own, ctx's, Postgres' refusal to commit, or ErrCommitUnknown.
func InTx(ctx context.Context, db Beginner, fn func(tx pgx.Tx) error) error {
	// A pool's own transaction gives its connection back within Commit, before its notices can be read.
	if pool, ok := db.(*pgxpool.Pool); ok {
		return InTxEnd(ctx, pool, &End{}, fn)
	}
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return runIn(ctx, tx, &End{}, fn)
}

func runIn(ctx context.Context, tx pgx.Tx, end *End, fn func(tx pgx.Tx) error) error {
	ended := false
	defer func() {
		if !ended { // also on a panic, which goes on afterwards
			rollback(ctx, tx)
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !end.isEmpty() {
		err := end.commit(ctx, tx)
		ended = err == nil
		return err
	}
	ended = true
	return commit(ctx, tx)
}

// rollback has no error to give: when it fails, pgx closes the connection, and the server rolls back.
func rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_ = tx.Rollback(ctx)
}

func commit(ctx context.Context, tx pgx.Tx) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	conn := tx.Conn().PgConn()
	if conn.IsClosed() {
		return errBrokenBefore
	}
	delete(conn.CustomData(), notReplicated)
	return outcome(conn, tx.Commit(ctx))
}

// outcome says what an answer to COMMIT means.
func outcome(conn *pgconn.PgConn, err error) error {
	if notice, ok := conn.CustomData()[notReplicated]; ok {
		return fmt.Errorf("commit: %w: %v", ErrCommitUnknown, notice)
	}
	switch {
	case err == nil:
		return nil
	case refused(err):
		return fmt.Errorf("commit: %w", err)
	default:
		return fmt.Errorf("commit: %w: %w", ErrCommitUnknown, err)
	}
}

// refused says whether a failed COMMIT certainly left nothing behind: the server rolled back, or never saw it. A FATAL
// answer is not certain, since a session can be ended while it waits for its standby.
func refused(err error) bool {
	if errors.Is(err, pgx.ErrTxCommitRollback) || errors.Is(err, pgx.ErrTxClosed) || neverSent(err) {
		return true
	}
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && severity(pgErr) == "ERROR"
}

// errBrokenBefore is certain: the server rolls back what it has no COMMIT of.
var errBrokenBefore = errors.New("commit: the connection was broken before")

// neverSent says whether a statement certainly never left. pgx says so of a closed connection too, also where that broke while
// the answer was awaited.
func neverSent(err error) bool {
	return pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
}

// severity prefers the field that is not translated.
func severity(err *pgconn.PgError) string {
	if err.SeverityUnlocalized != "" {
		return err.SeverityUnlocalized
	}
	return err.Severity
}

// WholeTables is for the transactions that mean to read whole tables: our connections discourage it (see Open).
func WholeTables(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `set local enable_seqscan = on; set local enable_mergejoin = on; set local enable_hashjoin = on`)
	return err
}
