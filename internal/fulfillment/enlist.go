// Package fulfillment delivers what was paid for: it claims cards for paid orders, set-wise, and completes the orders.
package fulfillment

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
)

// Queue is where deliveries run.
const Queue = "cards"

const maxAttempts = 20

// Args of a delivery job.
type Args struct {
	OrderID uuid.UUID `json:"order_id"`
}

// Kind is "deliver_order".
func (Args) Kind() string { return "deliver_order" }

// jobMetadata carries the order's trace past the queue.
type jobMetadata struct {
	Traceparent string `json:"traceparent,omitempty"`
}

// Enlist is the relay's route from order.paid, and from order.released, to a delivery job: one per event, for good. A job
// whose order is not to be delivered (yet) does nothing.
func Enlist(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error) {
	var ledger dbq.FulfillmentInsertParams
	traceparents := map[uuid.UUID]string{}
	for _, event := range events {
		if event.Type != ordering.EventPaid && event.Type != ordering.EventReleased || event.AggregateType != ordering.AggregateType {
			continue
		}
		orderID, err := uuid.Parse(event.AggregateID)
		if err != nil {
			continue // no order of ours; an error would hold back the events that are relayed together with it
		}
		ledger.OrderIds = append(ledger.OrderIds, orderID)
		ledger.EventIds = append(ledger.EventIds, event.ID)
		traceparents[orderID] = event.Headers.Traceparent
	}
	if len(ledger.OrderIds) == 0 {
		return nil, nil
	}
	enlisted, err := dbq.New(tx).FulfillmentInsert(ctx, ledger)
	if err != nil {
		return nil, fmt.Errorf("fulfillment: enlist: %w", err)
	}
	jobs := make([]river.InsertManyParams, len(enlisted))
	for i, orderID := range enlisted {
		if jobs[i], err = jobFor(orderID, traceparents[orderID]); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

func jobFor(orderID uuid.UUID, traceparent string) (river.InsertManyParams, error) {
	metadata, err := json.Marshal(jobMetadata{traceparent})
	if err != nil {
		return river.InsertManyParams{}, fmt.Errorf("fulfillment: job metadata: %w", err)
	}
	return river.InsertManyParams{
		Args:       Args{OrderID: orderID},
		InsertOpts: &river.InsertOpts{Queue: Queue, MaxAttempts: maxAttempts, Metadata: metadata},
	}, nil
}
