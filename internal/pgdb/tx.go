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
		return InTxEnd(ctx, pool, func(tx pgx.Tx, _ *End) error { return fn(tx) })
	}
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return runIn(ctx, tx, &End{}, fn)
}

// End is what travels with a transaction's COMMIT, in the same round trip.
type End struct {
	// Before are statements whose answers decide nothing. What must keep the transaction from being committed has to be an
	// error of theirs: one that a callback finds in an answer comes too late, and the outcome is then said to be unknown.
	Before pgx.Batch
	// After are statements that run once it is committed, each by itself.
	After pgx.Batch
	// AfterErr is the first error of After. The transaction is committed all the same.
	AfterErr error
}

// Ask adds a question to Before, whose answer is there after the COMMIT. It is as one of Together's.
func (end *End) Ask(ask func(db DB) error) error {
	var heard hearing
	if err := ask(&heard); err != nil && !errors.Is(err, errHeard) {
		return err
	}
	for _, query := range heard.batch.QueuedQueries {
		query.Fn = func(results pgx.BatchResults) error { return ask(answering{results: results}) }
		end.Before.QueuedQueries = append(end.Before.QueuedQueries, query)
	}
	return nil
}

// InTxEnd is InTx for a transaction that knows what it ends with. BEGIN travels with the first statement and COMMIT with
// the last ones, so that it may take as little as one round trip.
func InTxEnd(ctx context.Context, pool *pgxpool.Pool, fn func(tx pgx.Tx, end *End) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer conn.Release()
	var end End
	return runIn(ctx, &lazyTx{conn: conn.Conn()}, &end, func(tx pgx.Tx) error { return fn(tx, &end) })
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
	if end.Before.Len()+end.After.Len() > 0 {
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

// commit sends everything in one go. The server answers in order and does nothing after a statement that has failed: its
// error for one of those before means that the COMMIT was not reached.
func (end *End) commit(ctx context.Context, tx pgx.Tx) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	conn := tx.Conn().PgConn()
	delete(conn.CustomData(), notReplicated)
	var all pgx.Batch
	all.QueuedQueries = append(all.QueuedQueries, end.Before.QueuedQueries...)
	all.Queue("commit")
	all.QueuedQueries = append(all.QueuedQueries, end.After.QueuedQueries...)
	results := tx.SendBatch(ctx, &all)
	defer func() { _ = results.Close() }() // an error of it is known by then, or is the connection's, which the pool sees
	if err := read(results, end.Before.QueuedQueries); err != nil {
		if _, ok := errors.AsType[*pgconn.PgError](err); ok || pgconn.SafeToRetry(err) {
			return err
		}
		return fmt.Errorf("commit: %w: %w", ErrCommitUnknown, err)
	}
	tag, err := results.Exec()
	if err == nil && tag.String() == "ROLLBACK" {
		err = pgx.ErrTxCommitRollback
	}
	if err := outcome(conn, err); err != nil {
		return err
	}
	end.AfterErr = read(results, end.After.QueuedQueries)
	return nil
}

// read reads the results of statements, until one is an error.
func read(results pgx.BatchResults, statements []*pgx.QueuedQuery) (err error) {
	for _, statement := range statements {
		if statement.Fn != nil {
			err = statement.Fn(results)
		} else {
			_, err = results.Exec()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Queue gives a DB that queues what is executed on it, and has no answers.
func Queue(batch *pgx.Batch) DB { return queue{batch: batch} }

type queue struct {
	noCopy

	batch *pgx.Batch
}

func (q queue) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	q.batch.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

func (queue) Query(context.Context, string, ...any) (pgx.Rows, error) { return nil, errNoAnswer }

func (queue) QueryRow(context.Context, string, ...any) pgx.Row { return noAnswer{} }

type noAnswer struct{}

func (noAnswer) Scan(...any) error { return errNoAnswer }

var errNoAnswer = errors.New("pgdb: a statement that is queued has no answer")

// refused says whether a failed COMMIT certainly left nothing behind: the server rolled back, or never saw it. A FATAL
// answer is not certain, since a session can be ended while it waits for its standby.
func refused(err error) bool {
	if errors.Is(err, pgx.ErrTxCommitRollback) || errors.Is(err, pgx.ErrTxClosed) || pgconn.SafeToRetry(err) {
		return true
	}
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && severity(pgErr) == "ERROR"
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
