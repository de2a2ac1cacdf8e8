// Package outbox keeps the events of the domain: appended in the transaction that caused them, never updated, read by
// the relay and by the feed.
package outbox

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Event is one row of the outbox. It says what happened to one aggregate.
type Event struct {
	ID            uuid.UUID // UUIDv7
	AggregateType string    // "order"
	AggregateID   string    // the aggregate's id in its own table
	Type          string    // "order.paid": a noun, a dot, a past participle
	Payload       json.RawMessage
	Headers       Headers
	Sequence      int       // counts the aggregate's events from 1; 0 where it does not count them
	OccurredAt    time.Time // UTC, microseconds; the same for all events of one transaction
}

// Headers travel with an event and are no part of what subscribers are sent.
type Headers struct {
	Traceparent string     `json:"traceparent,omitempty"` // W3C trace context of the request that caused it
	Locale      string     `json:"locale,omitempty"`      // "en" or "zh": the language of messages to a person
	EndpointID  *uuid.UUID `json:"endpoint_id,omitempty"` // for this webhook endpoint alone (a test delivery)
}

// Batch is what one transaction appended, as handed over after its commit.
type Batch struct {
	SafetyJobID int64 // the relay job that covers for a fast path that never came
	Events      []Event
}
