// Package fulfillment delivers what was paid for: it claims cards for paid orders, set-wise, and completes the orders.
package fulfillment

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/telemetry"
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

// Route is the way of a paid order to its delivery.
type Route struct {
	// Before gives the jobs that come before the delivery of some of the orders: such a job has to insert the delivery's
	// (see Job), or to stop the order. nil: nothing comes before.
	Before func(ctx context.Context, tx pgx.Tx, orderIDs []uuid.UUID) (map[uuid.UUID]river.JobArgs, error)
}

// Enlist is the route on which nothing comes before.
func Enlist(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error) {
	return Route{}.Enlist(ctx, tx, events)
}

// Enlist is the relay's route from order.paid, and from order.released of a paid order, to a delivery job: one per event,
// for good. A job whose order is not to be delivered (yet) does nothing, and an order that was delivered in the transaction
// that paid it needs none.
func (r Route) Enlist(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error) {
	var ledger dbq.FulfillmentInsertParams
	traceparents := map[uuid.UUID]string{}
	completed := completedIn(events)
	for _, event := range events {
		if event.AggregateType != ordering.AggregateType || !delivers(event) {
			continue
		}
		if at, ok := completed[event.AggregateID]; ok && at.Equal(event.OccurredAt) {
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
	return r.jobs(ctx, tx, enlisted, traceparents)
}

// jobs are those that begin the deliveries of orders.
func (r Route) jobs(
	ctx context.Context, tx pgx.Tx, orderIDs []uuid.UUID, traceparents map[uuid.UUID]string,
) ([]river.InsertManyParams, error) {
	var before map[uuid.UUID]river.JobArgs
	if r.Before != nil && len(orderIDs) > 0 {
		var err error
		if before, err = r.Before(ctx, tx, orderIDs); err != nil {
			return nil, fmt.Errorf("fulfillment: before the delivery: %w", err)
		}
	}
	jobs := make([]river.InsertManyParams, len(orderIDs))
	for i, orderID := range orderIDs {
		jobs[i] = Job(orderID, traceparents[orderID])
		if args, ok := before[orderID]; ok {
			jobs[i].Args = args
		}
	}
	return jobs, nil
}

// completedIn gives the times at which orders were completed: that of the payment, if it was the same transaction. Where a large
// transaction is relayed in parts, a job too many finds nothing to do.
func completedIn(events []outbox.Event) map[string]time.Time {
	completed := map[string]time.Time{}
	for _, event := range events {
		if event.AggregateType == ordering.AggregateType && event.Type == ordering.EventCompleted {
			completed[event.AggregateID] = event.OccurredAt
		}
	}
	return completed
}

// delivers says whether an event is one after which an order is to be delivered. An order that was released unpaid has to
// be paid first: a job made now might run after that, before whatever comes between the payment and the delivery.
func delivers(event outbox.Event) bool {
	if event.Type != ordering.EventReleased {
		return event.Type == ordering.EventPaid
	}
	var order struct {
		PaymentStatus ordering.PaymentStatus `json:"payment_status"`
	}
	return json.Unmarshal(event.Payload, &order) == nil && order.PaymentStatus != ordering.Unpaid
}

// Job is the delivery of an order, as it is inserted. It goes on with the order's trace.
func Job(orderID uuid.UUID, traceparent string) river.InsertManyParams {
	return river.InsertManyParams{Args: Args{OrderID: orderID}, InsertOpts: &river.InsertOpts{
		Queue: Queue, MaxAttempts: maxAttempts, Metadata: telemetry.JobMetadata(traceparent),
	}}
}
