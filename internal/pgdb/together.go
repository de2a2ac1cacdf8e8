package pgdb

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DB runs statements. It is what sqlc's queries are made on.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource) (int64, error)
}

// Batcher sends batches: a transaction or a connection.
type Batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Together asks several questions in one round trip; they are answered one after the other. Each ask makes one statement
// on the DB it is given, or none, and passes on its error. It is called once to hear the statement, which then ends with an
// error, and once more to read the answer.
func Together(ctx context.Context, db Batcher, asks ...func(db DB) error) error {
	var heard hearing
	var asked []func(db DB) error
	for _, ask := range asks {
		before := heard.batch.Len()
		if err := ask(&heard); err != nil && !errors.Is(err, errHeard) {
			return err
		}
		if heard.batch.Len() > before {
			asked = append(asked, ask)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	results := db.SendBatch(ctx, &heard.batch)
	for _, ask := range asked {
		if err := ask(answering{results: results}); err != nil {
			_ = results.Close() // its error is this one, or the connection's, which the pool sees
			return err
		}
	}
	return results.Close()
}

var (
	errHeard  = errors.New("pgdb: the statement was heard and not sent yet")
	errNoCopy = errors.New("pgdb: COPY cannot be sent together with statements")
)

type noCopy struct{}

func (noCopy) CopyFrom(context.Context, pgx.Identifier, []string, pgx.CopyFromSource) (int64, error) {
	return 0, errNoCopy
}

// hearing notes statements.
type hearing struct {
	noCopy

	batch pgx.Batch
}

func (h *hearing) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	h.batch.Queue(sql, args...)
	return pgconn.CommandTag{}, errHeard
}

func (h *hearing) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	h.batch.Queue(sql, args...)
	return nil, errHeard
}

func (h *hearing) QueryRow(_ context.Context, sql string, args ...any) pgx.Row {
	h.batch.Queue(sql, args...)
	return heardRow{}
}

type heardRow struct{}

func (heardRow) Scan(...any) error { return errHeard }

// answering gives the answers in the order in which the statements were heard.
type answering struct {
	noCopy

	results pgx.BatchResults
}

func (a answering) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return a.results.Exec()
}

func (a answering) Query(context.Context, string, ...any) (pgx.Rows, error) { return a.results.Query() }

func (a answering) QueryRow(context.Context, string, ...any) pgx.Row { return a.results.QueryRow() }
