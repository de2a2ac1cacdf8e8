package outbox

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
)

const (
	// MaxFeedPage bounds a page of the feed.
	MaxFeedPage = 1000
	// maxFeedScan bounds the rows that one call looks at for a page: some 20 ms of work.
	maxFeedScan = 10_000
)

// Feed returns the events after a cursor ("" for the beginning), oldest first, with the cursor to go on from; it is the
// one given when there is nothing new. types narrows the page; nil means all. A page of rare types may be short, or
// empty, though there are more: its cursor has moved past what was looked at, and nobody looks at that again.
//
// The order is that of the transactions' ids, not of time, and a transaction shows only when none that began before it
// is still open: a reader that goes on from its cursor misses nothing, however late a transaction commits.
func (b *Box) Feed(ctx context.Context, cursor string, types []string, limit int) ([]Event, string, error) {
	at, err := parsePosition(cursor)
	if err != nil {
		return nil, "", err
	}
	if types == nil {
		types = []string{}
	}
	rows, err := dbq.New(b.pool).OutboxFeed(ctx, dbq.OutboxFeedParams{
		Epoch: at.epoch, TxID: at.txid, Seq: at.seq, Types: types, MaxScanned: maxFeedScan,
		MaxRows: int32(min(limit, MaxFeedPage)),
	})
	if err != nil {
		return nil, "", fmt.Errorf("outbox: feed: %w", err)
	}
	if len(rows) == 0 {
		return nil, cursor, nil
	}
	events := make([]Event, 0, len(rows))
	for _, row := range rows {
		at = position{row.Epoch, row.TxID, row.Seq}
		if !row.Matches {
			continue // the last one looked at: only its place is of interest
		}
		event, err := fromColumns(row.ID, row.AggregateType, row.AggregateID, row.Type, row.Payload, row.Headers, row.Sequence, row.OccurredAt)
		if err != nil {
			return nil, "", err
		}
		events = append(events, event)
	}
	return events, at.String(), nil
}

// position is a place in the feed: the cluster, the transaction in it, the event in that.
type position struct {
	epoch int32
	txid  uint64
	seq   int64
}

// String makes the cursor. It is opaque to callers so that its parts may change.
func (p position) String() string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d.%d", p.epoch, p.txid, p.seq))
}

func parsePosition(cursor string) (position, error) {
	var p position
	if cursor == "" {
		return p, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		_, err = fmt.Sscanf(string(text), "%d.%d.%d", &p.epoch, &p.txid, &p.seq)
	}
	if err != nil || p.String() != cursor {
		return position{}, fault.Wrap(err, fault.Invalid, "cursor_invalid")
	}
	return p, nil
}

// Transaction names one that appended events: its epoch and id, and the day (UTC) whose partition has them.
type Transaction struct {
	Epoch int32
	ID    uint64
	Day   time.Time
}

// Events returns up to limit of what the transaction appended, in the order in which it did, with the place to go on
// from: give it as after to get the next ones. 0 is the beginning. A transaction may have any number of events.
func (t Transaction) Events(ctx context.Context, db dbq.DBTX, after int64, limit int) ([]Event, int64, error) {
	rows, err := dbq.New(db).OutboxOfTransaction(ctx, dbq.OutboxOfTransactionParams{
		Epoch: t.Epoch, TxID: t.ID, After: after, DayFrom: t.Day, DayTo: t.Day.AddDate(0, 0, 1), MaxRows: int32(limit),
	})
	if err != nil {
		return nil, after, fmt.Errorf("outbox: events of a transaction: %w", err)
	}
	events := make([]Event, len(rows))
	for i, row := range rows {
		events[i], err = fromColumns(row.ID, row.AggregateType, row.AggregateID, row.Type, row.Payload, row.Headers, row.Sequence, row.OccurredAt)
		if err != nil {
			return nil, after, err
		}
		after = row.Seq
	}
	return events, after, nil
}

// MakePartitions makes and analyses the missing daily partitions from yesterday to a number of days ahead, and says how
// many there were.
func (b *Box) MakePartitions(ctx context.Context, daysAhead int) (int, error) {
	today := b.now().UTC().Truncate(24 * time.Hour)
	made, err := dbq.New(b.pool).OutboxMakePartitions(ctx, dbq.OutboxMakePartitionsParams{
		First: today.AddDate(0, 0, -1), Last: today.AddDate(0, 0, daysAhead),
	})
	if err != nil {
		return 0, fmt.Errorf("outbox: make partitions: %w", err)
	}
	return int(made), nil
}

func fromColumns(
	id uuid.UUID, aggregateType, aggregateID, eventType string, payload, headers []byte, sequence int32, occurredAt time.Time,
) (Event, error) {
	event := Event{
		ID: id, AggregateType: aggregateType, AggregateID: aggregateID, Type: eventType, Payload: payload,
		Sequence: int(sequence), OccurredAt: occurredAt.UTC(),
	}
	if err := json.Unmarshal(headers, &event.Headers); err != nil {
		return Event{}, fmt.Errorf("outbox: headers of event %s: %w", id, err)
	}
	return event, nil
}
