package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/telemetry"
	"github.com/vendbox/vendbox/internal/webhooks"
)

// WebhookEndpoint is where events are sent.
type WebhookEndpoint struct {
	ID             uuid.UUID `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The endpoint's id."`
	URL            string    `json:"url" example:"https://erp.example.com/hooks/vendbox" doc:"Where events are posted."`
	Description    string    `json:"description" example:"ERP" doc:"What it is for, in your words."`
	EventTypes     []string  `json:"event_types" example:"[\"order.*\"]" doc:"What it is sent: * for everything, order.* for all types that begin so, or exact types."`
	Status         string    `json:"status" enum:"enabled,disabled" example:"enabled" doc:"A disabled endpoint is sent nothing."`
	DisabledReason *string   `json:"disabled_reason" nullable:"true" enum:"operator,gone" example:"gone" doc:"operator: somebody disabled it. gone: it answered 410. null while enabled."`
	CreatedAt      time.Time `json:"created_at" example:"2025-01-02T03:04:05Z" doc:"When it was created."`
	UpdatedAt      time.Time `json:"updated_at" example:"2025-01-02T03:04:05Z" doc:"When it was last changed."`
}

// WebhookEndpointWithSecret is a new endpoint.
type WebhookEndpointWithSecret struct {
	WebhookEndpoint

	Secret string `json:"secret" example:"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDGH5k2H8Y7cE=" doc:"The secret that deliveries are signed with, as Standard Webhooks libraries take it. It is shown only here."`
}

// WebhookSecret is an endpoint's new secret.
type WebhookSecret struct {
	Secret            string    `json:"secret" example:"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDGH5k2H8Y7cE=" doc:"The new secret. It is shown only here."`
	PreviousExpiresAt time.Time `json:"previous_expires_at" example:"2025-01-03T03:04:05Z" doc:"Until then deliveries are signed with the old secret as well."`
}

// WebhookTest is a test event on its way.
type WebhookTest struct {
	EventID   uuid.UUID `json:"event_id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The event's id."`
	WebhookID string    `json:"webhook_id" example:"msg_0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The webhook-id that the endpoint sees."`
}

func (s *Server) registerWebhookEndpoints() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "create-webhook-endpoint", Method: http.MethodPost, Path: "/v1/webhook-endpoints", Tags: []string{tagWebhooks},
			Summary: "Create a webhook endpoint",
			Description: "From then on events are posted to it, signed by Standard Webhooks 1.0.0. Answer with 2xx within 15 s; anything else is " +
				"tried again, 8 times over about 27 hours. A delivery may come more than once: remember webhook-id. Names are resolved at each " +
				"delivery, and addresses that are not public are refused then.",
			DefaultStatus: http.StatusCreated,
		},
		Auth:   needs(access.WebhooksWrite),
		Faults: []string{"webhook_url_refused", "webhook_event_types_invalid", "webhook_description_invalid"},
	}, s.createWebhookEndpoint)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-webhook-endpoints", Method: http.MethodGet, Path: "/v1/webhook-endpoints", Tags: []string{tagWebhooks},
			Summary: "List webhook endpoints", Description: "Endpoints, newest first.",
		},
		Auth: needs(access.WebhooksRead), Faults: []string{"cursor_invalid"},
	}, s.listWebhookEndpoints)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-webhook-endpoint", Method: http.MethodGet, Path: "/v1/webhook-endpoints/{id}", Tags: []string{tagWebhooks},
			Summary: "Get a webhook endpoint", Description: "One endpoint, without its secret.", Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.WebhooksRead), Faults: []string{"webhook_endpoint_not_found"},
	}, s.getWebhookEndpoint)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "update-webhook-endpoint", Method: http.MethodPatch, Path: "/v1/webhook-endpoints/{id}", Tags: []string{tagWebhooks},
			Summary: "Change a webhook endpoint",
			Description: "Changes what is given. Deliveries that wait for their next attempt go to the new URL. With enabled false they end as " +
				"endpoint_disabled.",
			Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.WebhooksWrite),
		Faults: []string{
			"webhook_endpoint_not_found", "webhook_url_refused", "webhook_event_types_invalid", "webhook_description_invalid",
		},
	}, s.updateWebhookEndpoint)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "delete-webhook-endpoint", Method: http.MethodDelete, Path: "/v1/webhook-endpoints/{id}", Tags: []string{tagWebhooks},
			Summary:       "Delete a webhook endpoint",
			Description:   "Removes it and its secrets. Its deliveries can still be read; those that are open end as endpoint_disabled.",
			DefaultStatus: http.StatusNoContent, Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.WebhooksWrite), Faults: []string{"webhook_endpoint_not_found"},
	}, s.deleteWebhookEndpoint)
	s.registerWebhookEndpointActions()
}

func (s *Server) registerWebhookEndpointActions() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "enable-webhook-endpoint", Method: http.MethodPost, Path: "/v1/webhook-endpoints/{id}/enable", Tags: []string{tagWebhooks},
			Summary: "Enable a webhook endpoint",
			Description: "It is sent events again from now on. What it missed is not sent by itself: for deliveries that were open when it was " +
				"disabled, call recover.",
			Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.WebhooksWrite), Faults: []string{"webhook_endpoint_not_found"},
	}, s.enableWebhookEndpoint)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "rotate-webhook-secret", Method: http.MethodPost, Path: "/v1/webhook-endpoints/{id}/rotate-secret",
			Tags: []string{tagWebhooks}, Summary: "Give an endpoint a new secret",
			Description: "Deliveries are signed with both secrets for a while, so the endpoint can change over without losing any. With " +
				"overlap_seconds 0 the old one ends at once: for one that has leaked.",
			Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.WebhooksWrite), Faults: []string{"webhook_endpoint_not_found", "webhook_overlap_invalid"},
	}, s.rotateWebhookSecret)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "test-webhook-endpoint", Method: http.MethodPost, Path: "/v1/webhook-endpoints/{id}/test", Tags: []string{tagWebhooks},
			Summary:       "Send a test event",
			Description:   "Sends an event of the type webhook.test to this endpoint alone, whatever its event types: a delivery like any other.",
			DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusNotFound, http.StatusConflict},
		},
		Auth: needs(access.WebhooksWrite), Faults: []string{"webhook_endpoint_not_found", "webhook_endpoint_disabled"},
	}, s.testWebhookEndpoint)
}

type createWebhookEndpointInput struct {
	Body struct {
		URL         string   `json:"url" minLength:"1" maxLength:"2048" example:"https://erp.example.com/hooks/vendbox" doc:"An https URL without user information and fragment."`
		Description string   `json:"description,omitempty" maxLength:"500" example:"ERP" doc:"What it is for, in your words."`
		EventTypes  []string `json:"event_types" minItems:"1" maxItems:"100" example:"[\"order.*\"]" doc:"What it is sent: * for everything, order.* for all types that begin so, or exact types."`
	}
}

type createWebhookEndpointOutput struct{ Body WebhookEndpointWithSecret }

func (s *Server) createWebhookEndpoint(ctx context.Context, in *createWebhookEndpointInput) (*createWebhookEndpointOutput, error) {
	e, secret, err := s.deps.Webhooks.CreateEndpoint(ctx, webhooks.NewEndpoint(in.Body))
	if err != nil {
		return nil, err
	}
	return &createWebhookEndpointOutput{WebhookEndpointWithSecret{viewWebhookEndpoint(e), secret.Secret}}, nil
}

type listWebhookEndpointsInput struct{ PageQuery }

type listWebhookEndpointsOutput struct{ Body listBody[WebhookEndpoint] }

func (s *Server) listWebhookEndpoints(ctx context.Context, in *listWebhookEndpointsInput) (*listWebhookEndpointsOutput, error) {
	endpoints, next, err := s.deps.Webhooks.Endpoints(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	views := make([]WebhookEndpoint, len(endpoints))
	for i, e := range endpoints {
		views[i] = viewWebhookEndpoint(e)
	}
	return &listWebhookEndpointsOutput{list(views, next)}, nil
}

type webhookEndpointOutput struct{ Body WebhookEndpoint }

func (s *Server) getWebhookEndpoint(ctx context.Context, in *UUIDPath) (*webhookEndpointOutput, error) {
	return webhookEndpointAnswer(s.deps.Webhooks.Endpoint(ctx, in.ID))
}

type updateWebhookEndpointInput struct {
	UUIDPath

	Body struct {
		URL         *string   `json:"url,omitempty" minLength:"1" maxLength:"2048" example:"https://erp.example.com/hooks/vendbox" doc:"The new URL."`
		Description *string   `json:"description,omitempty" maxLength:"500" example:"ERP" doc:"What it is for, in your words."`
		EventTypes  *[]string `json:"event_types,omitempty" minItems:"1" maxItems:"100" example:"[\"order.paid\"]" doc:"What it is sent from now on, instead of what it was."`
		Enabled     *bool     `json:"enabled,omitempty" example:"false" doc:"Whether it is sent events."`
	}
}

func (s *Server) updateWebhookEndpoint(ctx context.Context, in *updateWebhookEndpointInput) (*webhookEndpointOutput, error) {
	return webhookEndpointAnswer(s.deps.Webhooks.UpdateEndpoint(ctx, in.ID, webhooks.EndpointPatch(in.Body)))
}

func (s *Server) deleteWebhookEndpoint(ctx context.Context, in *UUIDPath) (*struct{}, error) {
	return nil, s.deps.Webhooks.DeleteEndpoint(ctx, in.ID)
}

func (s *Server) enableWebhookEndpoint(ctx context.Context, in *UUIDPath) (*webhookEndpointOutput, error) {
	return webhookEndpointAnswer(s.deps.Webhooks.EnableEndpoint(ctx, in.ID))
}

type rotateWebhookSecretInput struct {
	UUIDPath

	Body *struct {
		OverlapSeconds *int64 `json:"overlap_seconds,omitempty" minimum:"0" maximum:"604800" example:"86400" doc:"How long the old secret goes on signing. Default 24 hours."`
	}
}

type rotateWebhookSecretOutput struct{ Body WebhookSecret }

func (s *Server) rotateWebhookSecret(ctx context.Context, in *rotateWebhookSecretInput) (*rotateWebhookSecretOutput, error) {
	var overlap *time.Duration
	if in.Body != nil && in.Body.OverlapSeconds != nil {
		overlap = new(time.Duration(*in.Body.OverlapSeconds) * time.Second)
	}
	secret, err := s.deps.Webhooks.RotateSecret(ctx, in.ID, overlap)
	if err != nil {
		return nil, err
	}
	return &rotateWebhookSecretOutput{WebhookSecret{Secret: secret.Secret, PreviousExpiresAt: utc(secret.PreviousExpiresAt)}}, nil
}

type webhookTestOutput struct{ Body WebhookTest }

func (s *Server) testWebhookEndpoint(ctx context.Context, in *UUIDPath) (*webhookTestOutput, error) {
	id, err := s.deps.Webhooks.SendTest(ctx, in.ID, telemetry.Traceparent(ctx))
	if err != nil {
		return nil, err
	}
	return &webhookTestOutput{WebhookTest{EventID: id, WebhookID: webhooks.MessageID(id)}}, nil
}

func webhookEndpointAnswer(e webhooks.Endpoint, err error) (*webhookEndpointOutput, error) {
	if err != nil {
		return nil, err
	}
	return &webhookEndpointOutput{viewWebhookEndpoint(e)}, nil
}

func viewWebhookEndpoint(e webhooks.Endpoint) WebhookEndpoint {
	view := WebhookEndpoint{
		ID: e.ID, URL: e.URL, Description: e.Description, EventTypes: e.EventTypes, Status: e.Status,
		CreatedAt: utc(e.CreatedAt), UpdatedAt: utc(e.UpdatedAt),
	}
	if e.DisabledReason != "" {
		view.DisabledReason = &e.DisabledReason
	}
	return view
}
