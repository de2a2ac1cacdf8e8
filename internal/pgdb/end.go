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

// End is what travels with a transaction's COMMIT, in the same round trip.
type End struct {
	// LockWait ends each wait of the transaction for a lock after that time, with an error that IsLockTimeout. It travels with BEGIN.
	// Zero: no limit but the server's.
	LockWait time.Duration

	before, after pgx.Batch
	afterErr      error
}

// InTxEnd is InTx for a transaction that knows what it ends with: fn adds that to end. BEGIN travels with the first statement
// and COMMIT with the last ones, so that it may take as little as one round trip.
//
// The last trip is not abandoned when ctx ends: it has 15 s, and not more than 5 s after ctx's deadline. A connection that breaks
// in it leaves ErrCommitUnknown, whatever the server had reached by then.
func InTxEnd(ctx context.Context, pool *pgxpool.Pool, end *End, fn func(tx pgx.Tx) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err = func() error {
		defer conn.Release()
		return runIn(ctx, &lazyTx{conn: conn.Conn(), lockWait: end.LockWait}, end, fn)
	}()
	return explainLock(ctx, pool, err)
}

// Before takes statements whose answers nobody needs: they are sent before the COMMIT, in their order. What has to keep the
// transaction from being committed must be an error of theirs.
func (end *End) Before() DB { return queue{batch: &end.before} }

// Ask adds a question to those statements: it is as one of Together's, and its answer is there after the COMMIT. An answer
// that cannot be read comes too late to prevent that, so the outcome is then unknown.
func (end *End) Ask(ask func(db DB) error) error {
	var heard hearing
	if err := ask(&heard); err != nil && !errors.Is(err, errHeard) {
		return err
	}
	for _, query := range heard.batch.QueuedQueries {
		query.Fn = func(results pgx.BatchResults) error { return ask(answering{results: results}) }
		end.before.QueuedQueries = append(end.before.QueuedQueries, query)
	}
	return nil
}

// After takes statements that run once the transaction is committed, together in one of their own. Should they fail, the
// transaction is committed all the same, and AfterErr says why. Only one that the server cannot even parse prevents the
// COMMIT.
func (end *End) After() DB { return queue{batch: &end.after} }

// AfterErr is the first error of the statements of After.
func (end *End) AfterErr() error { return end.afterErr }

func (end *End) isEmpty() bool { return end.before.Len()+end.after.Len() == 0 }

// commit sends everything in one go. The server answers in order and does nothing after a statement that has failed: its
// error for one of those before means that the COMMIT was not reached.
func (end *End) commit(ctx context.Context, tx pgx.Tx) (err error) {
	ctx, cancel := lastTrip(ctx)
	defer cancel()
	conn := tx.Conn().PgConn()
	if conn.IsClosed() {
		return errBrokenBefore
	}
	delete(conn.CustomData(), notReplicated)
	var all pgx.Batch
	all.QueuedQueries = append(all.QueuedQueries, end.before.QueuedQueries...)
	all.Queue("commit")
	all.QueuedQueries = append(all.QueuedQueries, end.after.QueuedQueries...)
	results := tx.SendBatch(ctx, &all)
	defer func() {
		// An error of the closing is known by then, or is that of the commit of what came after, or the connection's.
		if closing := results.Close(); err == nil && end.afterErr == nil {
			end.afterErr = closing
		}
	}()
	if err := read(results, end.before.QueuedQueries); err != nil {
		if isBeforeCommit(err) {
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
	end.afterErr = read(results, end.after.QueuedQueries)
	return nil
}

// isBeforeCommit says whether an error of a statement before the COMMIT proves that it was not reached: the server's own, or
// one of preparing the batch, of which nothing has run then.
func isBeforeCommit(err error) bool {
	if _, ok := errors.AsType[*pgconn.PgError](err); ok {
		return true
	}
	_, unsent := errors.AsType[pgx.ErrPreprocessingBatch](err)
	return unsent || neverSent(err)
}

// lastTripGrace is what the last trip has at least.
const lastTripGrace = 5 * time.Second

func lastTrip(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := commitTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, max(time.Until(deadline), 0)+lastTripGrace)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
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

// queue is a DB that queues what is executed on it, and has no answers.
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
