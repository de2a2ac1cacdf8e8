package ordering

import (
	"encoding/json"
	"fmt"

	"github.com/vendbox/vendbox/internal/outbox"
)

// AggregateType of an order's events.
const AggregateType = "order"

// The events of an order. Their payload is its View.
const (
	EventCreated   = "order.created"
	EventPaid      = "order.paid"
	EventOnHold    = "order.on_hold"
	EventCompleted = "order.completed"
	EventReleased  = "order.released" // goes on after a hold
	EventExpired   = "order.expired"
	EventCanceled  = "order.canceled"
	EventRefunded  = "order.refunded" // in part or as a whole: see payment_status
)

// appendEvent adds an event of the order as it now stands. The trace is the order's own, not that of the request at
// hand: one trace for one order.
func appendEvent(tx *outbox.Tx, o *Order, eventType string) error {
	payload, err := json.Marshal(o.View())
	if err != nil {
		return fmt.Errorf("ordering: event payload: %w", err)
	}
	tx.Append(outbox.Event{
		AggregateType: AggregateType, AggregateID: o.ID.String(), Type: eventType, Payload: payload,
		Headers: outbox.Headers{Traceparent: o.Traceparent, Locale: o.Locale}, Sequence: o.Sequence,
	})
	return nil
}
