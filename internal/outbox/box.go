package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
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
	end    *pgdb.End
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

// AtEnd gives a dbq.DBTX for writes whose answer nobody needs: they are sent in their order, together with the events and
// the COMMIT, in one round trip. An error of theirs is the transaction's.
func (tx *Tx) AtEnd() dbq.DBTX { return tx.end.Before() }

// InTx runs fn in a transaction, writes what fn left for the end and the events that it appended, together with the
// safety job for their relay, and commits. After the commit the events are handed over. On an error nothing happened.
func (b *Box) InTx(ctx context.Context, fn func(tx *Tx) error) error {
	return b.InTxWaiting(ctx, 0, fn)
}

// InTxWaiting is InTx that waits so long at most for each lock that others hold; zero is no limit. See pgdb.IsLockTimeout.
func (b *Box) InTxWaiting(ctx context.Context, lockWait time.Duration, fn func(tx *Tx) error) error {
	var batch Batch
	end := pgdb.End{LockWait: lockWait}
	err := pgdb.InTxEnd(ctx, b.pool, &end, func(pgxTx pgx.Tx) error {
		tx := &Tx{Tx: pgxTx, Now: b.Now(), end: &end}
		if err := fn(tx); err != nil {
			return err
		}
		batch.Events = tx.events
		return tx.appendEvents(ctx, &batch.SafetyJobID)
	})
	if err != nil {
		return err
	}
	if len(batch.Events) > 0 {
		b.handOff(batch)
	}
	return nil
}

const (
	maxTries       = 4
	singleLockWait = 3 * time.Second
)

// InTxAgain is InTx for what is not gathered with others. It waits 3 s for a lock. After a deadlock, at a table that is altered, or
// after a serialization failure where a database has such transactions by default, it runs fn again, up to four times in all: fn has to
// set anew what it leaves behind.
func (b *Box) InTxAgain(ctx context.Context, fn func(tx *Tx) error) error {
	for try := 1; ; try++ {
		err := b.InTxWaiting(ctx, singleLockWait, fn)
		if try == maxTries || !pgdb.IsRetryable(err) {
			return err
		}
	}
}

// appendEvents writes them, with their safety job, whose id is known after the commit.
func (tx *Tx) appendEvents(ctx context.Context, safetyJobID *int64) error {
	if len(tx.events) == 0 {
		return nil
	}
	p, err := columns(tx.events, tx.Now)
	if err != nil {
		return err
	}
	return tx.end.Ask(func(db pgdb.DB) (err error) {
		*safetyJobID, err = dbq.New(db).OutboxAppend(ctx, p)
		return err
	})
}

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
