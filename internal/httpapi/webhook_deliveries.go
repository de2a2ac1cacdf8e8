package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/webhooks"
)

// WebhookDelivery is one event on its way to one endpoint.
type WebhookDelivery struct {
	ID              uuid.UUID  `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The delivery's id."`
	WebhookID       string     `json:"webhook_id" example:"msg_0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d1" doc:"The webhook-id that the endpoint sees, the same at every attempt."`
	EventID         uuid.UUID  `json:"event_id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d1" doc:"The event's id."`
	EventType       string     `json:"event_type" example:"order.paid" doc:"The event's type."`
	EventOccurredAt time.Time  `json:"event_occurred_at" example:"2025-01-02T03:04:05.678901Z" doc:"When the event happened."`
	EndpointID      uuid.UUID  `json:"endpoint_id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d0" doc:"The endpoint's id."`
	Status          string     `json:"status" enum:"pending,succeeded,exhausted,endpoint_disabled" example:"succeeded" doc:"exhausted: every attempt failed. endpoint_disabled: its endpoint was disabled before it succeeded."`
	Attempts        int        `json:"attempts" example:"1" doc:"Attempts made so far, resends included."`
	LastStatusCode  *int       `json:"last_status_code" nullable:"true" example:"204" doc:"What the endpoint answered last; null for no answer."`
	LastError       *string    `json:"last_error" nullable:"true" example:"answered with status 500" doc:"Why the last attempt failed; null when it did not."`
	NextAttemptAt   *time.Time `json:"next_attempt_at" nullable:"true" example:"2025-01-02T03:05:05Z" doc:"When the next attempt is due; in the past when it is being made or about to be; null once the delivery has ended."`
	CreatedAt       time.Time  `json:"created_at" example:"2025-01-02T03:04:05Z" doc:"When it was put in the queue."`
	FinishedAt      *time.Time `json:"finished_at" nullable:"true" example:"2025-01-02T03:04:06Z" doc:"When it ended; null while pending."`
}

// WebhookAttempt is one request and what came of it.
type WebhookAttempt struct {
	Attempt      int       `json:"attempt" example:"1" doc:"Counts the delivery's attempts from 1."`
	StartedAt    time.Time `json:"started_at" example:"2025-01-02T03:04:05Z" doc:"When it was made."`
	DurationMS   int64     `json:"duration_ms" example:"87" doc:"How long it took, in milliseconds."`
	StatusCode   *int      `json:"status_code" nullable:"true" example:"204" doc:"What the endpoint answered; null for no answer."`
	Error        *string   `json:"error" nullable:"true" example:"timeout: no complete answer within 15s" doc:"Why it failed; null when it did not."`
	ResponseBody string    `json:"response_body" example:"ok" doc:"The first 4 KiB of the answer, as text."`
}

// WebhookDeliveryWithAttempts is a delivery with its story.
type WebhookDeliveryWithAttempts struct {
	WebhookDelivery

	AttemptLog []WebhookAttempt `json:"attempt_log" doc:"The latest 100 attempts, oldest first."`
}

// WebhookRecovery is what a recovery set to work.
type WebhookRecovery struct {
	Resent  int  `json:"resent" example:"120" doc:"Deliveries that are being sent again."`
	Expired int  `json:"expired" example:"0" doc:"Deliveries that are not, because their events are not kept any more."`
	More    bool `json:"more" example:"false" doc:"There are more than one call does: call again."`
}

func (s *Server) registerWebhookDeliveries() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-webhook-deliveries", Method: http.MethodGet, Path: "/v1/webhook-deliveries", Tags: []string{tagWebhooks},
			Summary: "List webhook deliveries", Description: "One for each event and each endpoint that wanted it, newest first.",
		},
		Auth: needs(access.WebhooksRead), Faults: []string{"cursor_invalid", "webhook_endpoint_id_malformed"},
	}, s.listWebhookDeliveries)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-webhook-delivery", Method: http.MethodGet, Path: "/v1/webhook-deliveries/{id}", Tags: []string{tagWebhooks},
			Summary: "Get a webhook delivery", Description: "One delivery with its attempts and what the endpoint answered.",
			Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.WebhooksRead), Faults: []string{"webhook_delivery_not_found"},
	}, s.getWebhookDelivery)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "resend-webhook-delivery", Method: http.MethodPost, Path: "/v1/webhook-deliveries/{id}/resend", Tags: []string{tagWebhooks},
			Summary: "Send a delivery again",
			Description: "Sends it now, whatever became of it before, with the same webhook-id and the same bytes, and with all its " +
				"attempts anew. It is refused while an attempt is being made or about to be.",
			DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusGone},
		},
		Auth: needs(access.WebhooksWrite),
		Faults: []string{
			"webhook_delivery_not_found", "webhook_delivery_in_flight", "webhook_endpoint_disabled", "webhook_event_expired",
		},
	}, s.resendWebhookDelivery)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "recover-webhook-deliveries", Method: http.MethodPost, Path: "/v1/webhook-deliveries/recover", Tags: []string{tagWebhooks},
			Summary: "Send what an endpoint has missed",
			Description: "After an outage: sends everything again that the endpoint has not received of the events since a time, what waits for " +
				"its next attempt included. One call does up to 10,000; call again while more is true.",
			DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusNotFound, http.StatusConflict},
		},
		Auth: needs(access.WebhooksWrite), Faults: []string{"webhook_endpoint_not_found", "webhook_endpoint_disabled"},
	}, s.recoverWebhookDeliveries)
}

type listWebhookDeliveriesInput struct {
	PageQuery

	EndpointID string `query:"endpoint_id" format:"uuid" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d0" doc:"Only deliveries to this endpoint."`
	Status     string `query:"status" enum:"pending,succeeded,exhausted,endpoint_disabled" example:"exhausted" doc:"Only deliveries with this status."`
	EventType  string `query:"event_type" maxLength:"128" example:"order.paid" doc:"Only deliveries of events of this type."`
}

type listWebhookDeliveriesOutput struct{ Body listBody[WebhookDelivery] }

func (s *Server) listWebhookDeliveries(ctx context.Context, in *listWebhookDeliveriesInput) (*listWebhookDeliveriesOutput, error) {
	filter := webhooks.DeliveryFilter{Status: in.Status, EventType: in.EventType}
	if in.EndpointID != "" {
		var err error
		if filter.EndpointID, err = uuid.Parse(in.EndpointID); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "webhook_endpoint_id_malformed")
		}
	}
	deliveries, next, err := s.deps.Webhooks.Deliveries(ctx, filter, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	views := make([]WebhookDelivery, len(deliveries))
	for i, d := range deliveries {
		views[i] = viewWebhookDelivery(d)
	}
	return &listWebhookDeliveriesOutput{list(views, next)}, nil
}

type getWebhookDeliveryOutput struct{ Body WebhookDeliveryWithAttempts }

func (s *Server) getWebhookDelivery(ctx context.Context, in *UUIDPath) (*getWebhookDeliveryOutput, error) {
	d, attempts, err := s.deps.Webhooks.Delivery(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	view := WebhookDeliveryWithAttempts{WebhookDelivery: viewWebhookDelivery(d), AttemptLog: make([]WebhookAttempt, len(attempts))}
	for i, a := range attempts {
		view.AttemptLog[i] = WebhookAttempt{
			Attempt: a.Number, StartedAt: utc(a.StartedAt), DurationMS: a.Duration.Milliseconds(),
			StatusCode: nullIfZero(a.StatusCode), Error: nullIfZero(a.Error), ResponseBody: a.ResponseBody,
		}
	}
	return &getWebhookDeliveryOutput{view}, nil
}

type webhookDeliveryOutput struct{ Body WebhookDelivery }

func (s *Server) resendWebhookDelivery(ctx context.Context, in *UUIDPath) (*webhookDeliveryOutput, error) {
	d, err := s.deps.Webhooks.Resend(ctx, in.ID, principalOf(ctx).Actor())
	if err != nil {
		return nil, err
	}
	return &webhookDeliveryOutput{viewWebhookDelivery(d)}, nil
}

type recoverWebhookDeliveriesInput struct {
	Body struct {
		EndpointID uuid.UUID `json:"endpoint_id" format:"uuid" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d0" doc:"The endpoint."`
		Since      time.Time `json:"since" format:"date-time" example:"2025-01-02T00:00:00Z" doc:"Events that happened then or later."`
	}
}

type recoverWebhookDeliveriesOutput struct{ Body WebhookRecovery }

func (s *Server) recoverWebhookDeliveries(ctx context.Context, in *recoverWebhookDeliveriesInput) (*recoverWebhookDeliveriesOutput, error) {
	done, err := s.deps.Webhooks.Recover(ctx, in.Body.EndpointID, in.Body.Since, principalOf(ctx).Actor())
	if err != nil {
		return nil, err
	}
	return &recoverWebhookDeliveriesOutput{WebhookRecovery(done)}, nil
}

func viewWebhookDelivery(d webhooks.Delivery) WebhookDelivery {
	return WebhookDelivery{
		ID: d.ID, WebhookID: d.WebhookID(), EventID: d.EventID, EventType: d.EventType, EventOccurredAt: utc(d.EventOccurredAt),
		EndpointID: d.EndpointID, Status: d.Status, Attempts: d.Attempts, LastStatusCode: nullIfZero(d.LastStatusCode),
		LastError: nullIfZero(d.LastError), NextAttemptAt: utcPtr(d.NextAttemptAt), CreatedAt: utc(d.CreatedAt), FinishedAt: utcPtr(d.FinishedAt),
	}
}

// nullIfZero shows the absence of a value as null.
func nullIfZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
