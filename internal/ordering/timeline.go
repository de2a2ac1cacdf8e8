package ordering

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
)

// TimelineEntry is one step of an order, as it is kept.
type TimelineEntry struct {
	Sequence          int
	Event             string
	Status            Status
	PaymentStatus     PaymentStatus
	FulfillmentStatus FulfillmentStatus
	Actor             string
	Reason            string
	Traceparent       string
	At                time.Time
}

// Timeline returns the steps of an order, the oldest first. The first is the order itself: placing writes no entry. Fault:
// order_not_found.
func (s *Service) Timeline(ctx context.Context, id uuid.UUID) ([]TimelineEntry, error) {
	q := dbq.New(s.pool)
	placed, err := q.OrderPlacedBy(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fault.New(fault.NotFound, "order_not_found", "order_id", id)
	}
	if err != nil {
		return nil, err
	}
	rows, err := q.OrderTimeline(ctx, id)
	if err != nil {
		return nil, err
	}
	entries := []TimelineEntry{{
		Sequence: 1, Event: EventCreated, Status: PendingPayment, PaymentStatus: Unpaid, FulfillmentStatus: Unfulfilled,
		Actor: "key:" + placed.KeyPrefix, Traceparent: placed.Traceparent, At: placed.PlacedAt,
	}}
	for _, row := range rows {
		entries = append(entries, TimelineEntry{
			Sequence: int(row.Sequence), Event: row.Event, Status: Status(row.Status), PaymentStatus: PaymentStatus(row.PaymentStatus),
			FulfillmentStatus: FulfillmentStatus(row.FulfillmentStatus), Actor: row.Actor, Reason: row.Reason,
			Traceparent: row.Traceparent, At: row.At,
		})
	}
	return entries, nil
}
