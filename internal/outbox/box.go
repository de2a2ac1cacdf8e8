package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Box runs the transactions that append events.
type Box struct {
	pool    *pgxpool.Pool
	now     func() time.Time
	handOff func(Batch)
}

// NewBox makes a Box. handOff is called after each commit that appended events, with those events; it must not block.
// Where it is nil, or its process dies, the safety job relays them ten seconds later.
func NewBox(pool *pgxpool.Pool, now func() time.Time, handOff func(Batch)) *Box {
	if handOff == nil {
		handOff = func(Batch) {}
	}
	return &Box{pool: pool, now: now, handOff: handOff}
}

// Now is the time by the clock of its transactions.
func (b *Box) Now() time.Time { return b.now().UTC().Truncate(time.Microsecond) }

// Tx is a transaction that gathers the events of its state changes. They are written by its commit or not at all.
type Tx struct {
	pgx.Tx

	// Now is the time of everything this transaction does.
	Now    time.Time
	events []Event
	last   pgx.Batch
}

// Append adds events to the transaction. Their time is filled in, and their id where there is none.
func (tx *Tx) Append(events ...Event) {
	for _, event := range events {
		if event.ID == uuid.Nil {
			event.ID = uuid.Must(uuid.NewV7())
		}
		event.OccurredAt = tx.Now
		tx.events = append(tx.events, event)
	}
}

// AtEnd gives a dbq.DBTX for writes whose answer nobody needs: they are sent in their order, together with the events,
// in one round trip just before the commit. An error of theirs is the transaction's.
func (tx *Tx) AtEnd() dbq.DBTX { return atEnd{tx: tx, rows: anyRows} }

// AtEndOn is AtEnd for a statement that has to touch so many rows, or the transaction fails.
func (tx *Tx) AtEndOn(rows int) dbq.DBTX { return atEnd{tx: tx, rows: rows} }

type atEnd struct {
	tx   *Tx
	rows int
}

const anyRows = -1

func (e atEnd) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	query := e.tx.last.Queue(sql, args...)
	if e.rows != anyRows {
		query.Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() != int64(e.rows) {
				return fmt.Errorf("outbox: a statement touched %d rows of %d", tag.RowsAffected(), e.rows)
			}
			return nil
		})
	}
	return pgconn.CommandTag{}, nil
}

func (atEnd) Query(context.Context, string, ...any) (pgx.Rows, error) { return nil, errNoAnswer }

func (atEnd) QueryRow(context.Context, string, ...any) pgx.Row { return noAnswer{} }

func (atEnd) CopyFrom(context.Context, pgx.Identifier, []string, pgx.CopyFromSource) (int64, error) {
	return 0, errNoAnswer
}

type noAnswer struct{}

func (noAnswer) Scan(...any) error { return errNoAnswer }

var errNoAnswer = errors.New("outbox: a statement at the end of the transaction has no answer")

// InTx runs fn in a transaction, writes what fn left for the end and the events that it appended, together with the
// safety job for their relay, and commits. After the commit the events are handed over. On an error nothing happened.
func (b *Box) InTx(ctx context.Context, fn func(tx *Tx) error) error {
	var batch Batch
	err := pgdb.InTx(ctx, b.pool, func(pgxTx pgx.Tx) error {
		tx := &Tx{Tx: pgxTx, Now: b.Now()}
		if err := fn(tx); err != nil {
			return err
		}
		var err error
		batch, err = tx.finish(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if len(batch.Events) > 0 {
		b.handOff(batch)
	}
	return nil
}

// finish sends everything that is left in one round trip.
func (tx *Tx) finish(ctx context.Context) (Batch, error) {
	var safetyJobID int64
	if len(tx.events) > 0 {
		p, err := columns(tx.events, tx.Now)
		if err != nil {
			return Batch{}, err
		}
		query := &queued{batch: &tx.last, into: &safetyJobID}
		if _, err := dbq.New(query).OutboxAppend(ctx, p); err != nil {
			return Batch{}, err
		}
	}
	if tx.last.Len() == 0 {
		return Batch{}, nil
	}
	if err := tx.SendBatch(ctx, &tx.last).Close(); err != nil {
		return Batch{}, fmt.Errorf("outbox: at the end of the transaction: %w", err)
	}
	return Batch{SafetyJobID: safetyJobID, Events: tx.events}, nil
}

// queued puts a query that returns one number into a batch.
type queued struct {
	atEnd

	batch *pgx.Batch
	into  *int64
}

func (q *queued) QueryRow(_ context.Context, sql string, args ...any) pgx.Row {
	q.batch.Queue(sql, args...).QueryRow(func(row pgx.Row) error { return row.Scan(q.into) })
	return later{}
}

// later is the answer to a question that has not been sent yet.
type later struct{}

func (later) Scan(...any) error { return nil }

func columns(events []Event, now time.Time) (dbq.OutboxAppendParams, error) {
	p := dbq.OutboxAppendParams{OccurredAt: now, Day: now.Format(time.DateOnly)}
	for _, event := range events {
		headers, err := json.Marshal(event.Headers)
		if err != nil {
			return p, fmt.Errorf("outbox: headers: %w", err)
		}
		p.IDs = append(p.IDs, event.ID)
		p.Aggregatetypes = append(p.Aggregatetypes, event.AggregateType)
		p.Aggregateids = append(p.Aggregateids, event.AggregateID)
		p.Types = append(p.Types, event.Type)
		p.Payloads = append(p.Payloads, event.Payload)
		p.Headers = append(p.Headers, headers)
		p.Sequences = append(p.Sequences, int32(event.Sequence))
	}
	return p, nil
}
