package pgdb

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// lazyTx is a transaction whose BEGIN travels with its first statement. A round trip is not only its time on the wire: in
// a busy process it is also the wait until somebody looks for the answer, and the server stands still meanwhile.
type lazyTx struct {
	conn     *pgx.Conn
	lockWait time.Duration // zero: no limit
	tx       pgx.Tx        // nil until the first statement
	err      error         // of a BEGIN by itself
}

// SendBatch sends b, behind the BEGIN if there was none yet.
func (l *lazyTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if l.tx != nil {
		return l.tx.SendBatch(ctx, b)
	}
	first := &pgx.Batch{}
	first.BeginTx(pgx.TxOptions{})
	before := 1
	if l.lockWait > 0 {
		first.Queue(limitLockWaits(l.lockWait))
		before++
	}
	first.QueuedQueries = append(first.QueuedQueries, b.QueuedQueries...)
	results := l.conn.SendBatch(ctx, first)
	l.tx = results.Tx()
	for range before {
		_, _ = results.Exec() // of the BEGIN and the limit: the next result has their error
	}
	return results
}

func (l *lazyTx) one(ctx context.Context, sql string, args []any) pgx.BatchResults {
	var b pgx.Batch
	b.Queue(sql, args...)
	return l.SendBatch(ctx, &b)
}

// Query is pgx.Tx's.
func (l *lazyTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if l.tx != nil {
		return l.tx.Query(ctx, sql, args...)
	}
	results := l.one(ctx, sql, args)
	rows, err := results.Query()
	if err != nil { // nobody closes rows that came with an error, and an open batch costs the connection
		_ = results.Close()
	}
	return &firstRows{Rows: rows, results: results}, err
}

// QueryRow is pgx.Tx's.
func (l *lazyTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if l.tx != nil {
		return l.tx.QueryRow(ctx, sql, args...)
	}
	results := l.one(ctx, sql, args)
	return firstRow{results.QueryRow(), results}
}

// Exec is pgx.Tx's. Without arguments it may hold several commands, which no batch takes.
func (l *lazyTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if len(args) == 0 {
		if err := l.begin(ctx); err != nil {
			return pgconn.CommandTag{}, err
		}
	}
	if l.tx != nil {
		return l.tx.Exec(ctx, sql, args...)
	}
	results := l.one(ctx, sql, args)
	tag, err := results.Exec()
	if closed := results.Close(); err == nil {
		err = closed
	}
	return tag, err
}

// begin begins the transaction for what cannot bring the BEGIN along.
func (l *lazyTx) begin(ctx context.Context) error {
	if l.tx == nil {
		l.tx, l.err = l.conn.Begin(ctx)
		if l.err == nil && l.lockWait > 0 {
			_, l.err = l.tx.Exec(ctx, limitLockWaits(l.lockWait))
		}
	}
	return l.err
}

// Begin makes a savepoint.
func (l *lazyTx) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	return l.tx.Begin(ctx)
}

// CopyFrom is pgx.Tx's.
func (l *lazyTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource) (int64, error) {
	if err := l.begin(ctx); err != nil {
		return 0, err
	}
	return l.tx.CopyFrom(ctx, table, columns, source)
}

// Prepare is pgx.Tx's.
func (l *lazyTx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	return l.tx.Prepare(ctx, name, sql)
}

// LargeObjects are not for a transaction that may not have begun.
func (l *lazyTx) LargeObjects() pgx.LargeObjects { panic("pgdb: no large objects") }

// Conn is the connection.
func (l *lazyTx) Conn() *pgx.Conn { return l.conn }

// Commit commits what was begun.
func (l *lazyTx) Commit(ctx context.Context) error {
	if l.tx == nil {
		return l.err
	}
	return l.tx.Commit(ctx)
}

// Rollback rolls back what was begun.
func (l *lazyTx) Rollback(ctx context.Context) error {
	if l.tx == nil {
		return nil
	}
	return l.tx.Rollback(ctx)
}

// firstRows are the rows of a transaction's first statement. Their end is also the end of the batch that brought them.
type firstRows struct {
	pgx.Rows

	results pgx.BatchResults
	closing error
}

// Next closes at the end, as pgx's own rows do.
func (r *firstRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Close ends the rows and their batch.
func (r *firstRows) Close() {
	r.Rows.Close()
	if err := r.results.Close(); r.closing == nil {
		r.closing = err
	}
}

// Err is the rows' error, or that of their batch.
func (r *firstRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.closing
}

// firstRow is the row of a transaction's first statement.
type firstRow struct {
	pgx.Row

	results pgx.BatchResults
}

// Scan reads the row and ends its batch.
func (r firstRow) Scan(dest ...any) error {
	err := r.Row.Scan(dest...)
	if closed := r.results.Close(); err == nil {
		err = closed
	}
	return err
}
