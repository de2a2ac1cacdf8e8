package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// event is an event as the feed shows it.
type event struct {
	ID            uuid.UUID  `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The event's id; webhooks send it as webhook-id, after msg_."`
	Type          string     `json:"type" example:"order.paid" doc:"What happened."`
	AggregateType string     `json:"aggregate_type" example:"order" doc:"The sort of thing it happened to."`
	AggregateID   string     `json:"aggregate_id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d1" doc:"The thing's id."`
	Data          jsonObject `json:"data" doc:"What is known of it, as webhooks send it."`
	OccurredAt    time.Time  `json:"occurred_at" example:"2025-01-02T03:04:05.678901Z" doc:"When it happened."`
}

// newEvent is an event of the caller's own.
type newEvent struct {
	Type          string     `json:"type" pattern:"^[a-z][a-z0-9_]*(\\.[a-z0-9_]+)+$" maxLength:"128" example:"invoice.sent" doc:"Lower-case words with dots between. What vendbox sends itself begins with order., payment., product., stock. or webhook.; those are refused."`
	AggregateType string     `json:"aggregate_type" pattern:"^[a-z][a-z0-9_]{0,63}$" example:"invoice" doc:"The sort of thing it happened to."`
	AggregateID   string     `json:"aggregate_id" minLength:"1" maxLength:"255" example:"INV-1001" doc:"The thing's id in your own terms."`
	Data          jsonObject `json:"data" doc:"An object of up to 256 KiB as Postgres writes it, which subscribers are sent."`
}

// appended is the answer to a new event.
type appended struct {
	ID uuid.UUID `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The event's id."`
}

// jsonObject is an object of any shape, kept as it was written.
type jsonObject struct{ json.RawMessage }

// Schema is what huma asks a type for.
func (jsonObject) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Examples: []any{map[string]any{"total": 5000}}}
}

func (s *Server) registerEvents() {
	group := groupcommit.New(groupcommit.Config[outbox.Event, uuid.UUID]{
		Flush: s.appendEvents, Retryable: pgdb.IsRetryable, Splittable: pgdb.IsMembers,
	})
	s.onClose(group.Close)

	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-events", Method: http.MethodGet, Path: "/v1/events", Tags: []string{tagEvents},
			Summary: "Read the event feed",
			Description: "Events in the order in which their transactions began, oldest first, from a cursor on. An event shows only when " +
				"nothing older can still appear, so who goes on from next_cursor misses nothing, however late a transaction commits. " +
				"The feed has no end: next_cursor is where to go on, also when data is empty; it is null only as long as there was " +
				"never an event. One call looks at 10,000 events at most, so a page of rare types may be short or empty though there " +
				"are more: go on at once until next_cursor is what you sent.",
		},
		Auth:   needs(access.EventsRead),
		Faults: []string{"cursor_invalid"},
	}, s.listEvents)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "append-event", Method: http.MethodPost, Path: "/v1/events", Tags: []string{tagEvents},
			DefaultStatus: http.StatusCreated,
			Summary:       "Append an event of your own",
			Description: "The event goes to the webhook endpoints and SMS templates that ask for its type. Applications that share the " +
				"database call vendbox.emit inside their own transaction instead, which ties the event to what they change.",
		},
		Auth:   needs(access.EventsWrite),
		Faults: []string{"event_type_reserved", "event_data_too_large", "event_refused"},
	}, func(ctx context.Context, in *struct{ Body newEvent }) (*struct{ Body appended }, error) {
		e := in.Body.event(ctx)
		if err := outbox.CheckForeign(e); err != nil {
			return nil, err
		}
		id, err := group.Do(ctx, e)
		if pgdb.IsDataError(err) {
			return nil, fault.Wrap(err, fault.Invalid, "event_refused")
		}
		if err != nil {
			return nil, err
		}
		return &struct{ Body appended }{appended{ID: id}}, nil
	})
}

type listEventsInput struct {
	After string   `query:"after" maxLength:"512" example:"MS43NDIuMTA" doc:"next_cursor of the page before. Leave it out to begin with the oldest event that is kept."`
	Types []string `query:"type" maxItems:"50" example:"order.paid" doc:"Only events of these types, with commas between."`
	Limit int      `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many at most."`
}

type listEventsOutput struct{ Body listBody[event] }

func (s *Server) listEvents(ctx context.Context, in *listEventsInput) (*listEventsOutput, error) {
	events, next, err := s.deps.Box.Feed(ctx, in.After, in.Types, in.Limit)
	if err != nil {
		return nil, err
	}
	views := make([]event, len(events))
	for i, e := range events {
		views[i] = event{
			ID: e.ID, Type: e.Type, AggregateType: e.AggregateType, AggregateID: e.AggregateID,
			Data: jsonObject{e.Payload}, OccurredAt: utc(e.OccurredAt),
		}
	}
	return &listEventsOutput{list(views, next)}, nil
}

func (e newEvent) event(ctx context.Context) outbox.Event {
	return outbox.Event{
		ID: uuid.Must(uuid.NewV7()), Type: e.Type, AggregateType: e.AggregateType, AggregateID: e.AggregateID,
		Payload: e.Data.RawMessage,
		Headers: outbox.Headers{Traceparent: telemetry.Traceparent(ctx)},
	}
}

// appendEvents is the flush of the group: one transaction for all who came meanwhile.
func (s *Server) appendEvents(ctx context.Context, batch []outbox.Event) ([]groupcommit.Result[uuid.UUID], error) {
	err := s.deps.Box.InTx(ctx, func(tx *outbox.Tx) error {
		tx.Append(batch...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	results := make([]groupcommit.Result[uuid.UUID], len(batch))
	for i, e := range batch {
		results[i].Value = e.ID
	}
	return results, nil
}
