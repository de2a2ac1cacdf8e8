package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/paging"
	"github.com/vendbox/vendbox/internal/pgdb"
)

const (
	// AggregateType of the events about endpoints.
	AggregateType = "webhook_endpoint"
	// EventTest is sent by Test, to one endpoint.
	EventTest = "webhook.test"
	// EventEndpointDisabled says that an endpoint answered 410 and is sent nothing any more.
	EventEndpointDisabled = "webhook.endpoint_disabled"

	maxDescription = 500
)

// The statuses of an endpoint, and why it may be disabled.
const (
	EndpointEnabled  = "enabled"
	EndpointDisabled = "disabled"

	ReasonOperator = "operator" // somebody said so
	ReasonGone     = "gone"     // it answered 410
)

// Endpoint is where events are sent.
type Endpoint struct {
	ID             uuid.UUID
	URL            string
	Description    string
	EventTypes     []string // filters: "*", "order.*", "order.paid"
	Status         string   // EndpointEnabled or EndpointDisabled
	DisabledReason string   // ReasonOperator or ReasonGone; empty while enabled
	CreatedAt      time.Time
	UpdatedAt      time.Time
}

// NewEndpoint is what one is made from.
type NewEndpoint struct {
	URL         string
	Description string
	EventTypes  []string
}

// EndpointPatch changes what is not nil.
type EndpointPatch struct {
	URL         *string
	Description *string
	EventTypes  *[]string
	Enabled     *bool
}

// CreateEndpoint makes an endpoint, enabled, with a secret that is shown only here. Errors: webhook_url_refused,
// webhook_event_types_invalid, webhook_description_too_long.
func (s *Service) CreateEndpoint(ctx context.Context, n NewEndpoint) (Endpoint, Secret, error) {
	e := Endpoint{ID: uuid.Must(uuid.NewV7()), URL: n.URL, Description: n.Description, EventTypes: n.EventTypes, Status: EndpointEnabled}
	if err := s.check(&e); err != nil {
		return Endpoint{}, Secret{}, err
	}
	e.CreatedAt = s.now()
	e.UpdatedAt = e.CreatedAt
	var secret Secret
	err := pgdb.InTx(ctx, s.deps.Pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		err := q.WebhookEndpointInsert(ctx, dbq.WebhookEndpointInsertParams{
			ID: e.ID, URL: e.URL, Description: e.Description, EventTypes: e.EventTypes, CreatedAt: e.CreatedAt,
		})
		if err != nil {
			return fmt.Errorf("webhooks: insert endpoint: %w", err)
		}
		secret.Secret, err = s.addSecret(ctx, q, e.ID, e.CreatedAt)
		return err
	})
	if err != nil {
		return Endpoint{}, Secret{}, err
	}
	return e, secret, nil
}

func (s *Service) check(e *Endpoint) error {
	if err := s.guard.checkURL(e.URL); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(e.Description); n > maxDescription || clip(e.Description, len(e.Description)) != e.Description {
		return fault.New(fault.Invalid, "webhook_description_invalid", "max", maxDescription)
	}
	filters, err := checkFilters(e.EventTypes)
	e.EventTypes = filters
	return err
}

// Endpoint finds one. Error: webhook_endpoint_not_found.
func (s *Service) Endpoint(ctx context.Context, id uuid.UUID) (Endpoint, error) {
	row, err := dbq.New(s.deps.Pool).WebhookEndpointGet(ctx, id)
	if err != nil {
		return Endpoint{}, endpointNotFound(err, id)
	}
	return endpointOf(row), nil
}

// Endpoints lists them, the newest first, with the cursor of the next page, empty on the last. Error: cursor_invalid.
func (s *Service) Endpoints(ctx context.Context, cursor string, limit int) ([]Endpoint, string, error) {
	page, err := paging.Parse(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	rows, err := dbq.New(s.deps.Pool).WebhookEndpointList(ctx, dbq.WebhookEndpointListParams{Before: page.Before, MaxRows: page.MaxRows})
	if err != nil {
		return nil, "", fmt.Errorf("webhooks: list endpoints: %w", err)
	}
	rows, next := paging.Cut(page, rows, func(row dbq.WebhookEndpoint) uuid.UUID { return row.ID })
	endpoints := make([]Endpoint, len(rows))
	for i, row := range rows {
		endpoints[i] = endpointOf(row)
	}
	return endpoints, next, nil
}

// UpdateEndpoint changes one. When it becomes disabled, its open deliveries end as endpoint_disabled. Errors:
// webhook_endpoint_not_found and those of CreateEndpoint.
func (s *Service) UpdateEndpoint(ctx context.Context, id uuid.UUID, patch EndpointPatch) (Endpoint, error) {
	var e Endpoint
	err := pgdb.InTx(ctx, s.deps.Pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		row, err := q.WebhookEndpointLock(ctx, id)
		if err != nil {
			return endpointNotFound(err, id)
		}
		e = endpointOf(row)
		patch.apply(&e)
		if err := s.check(&e); err != nil {
			return err
		}
		e.UpdatedAt = s.now()
		return q.WebhookEndpointUpdate(ctx, dbq.WebhookEndpointUpdateParams{
			ID: id, URL: e.URL, Description: e.Description, EventTypes: e.EventTypes, Status: e.Status,
			DisabledReason: e.DisabledReason, UpdatedAt: e.UpdatedAt,
		})
	})
	if err != nil {
		return Endpoint{}, err
	}
	if e.Status == EndpointDisabled {
		s.endOpen(ctx, id)
	}
	return e, nil
}

func (p EndpointPatch) apply(e *Endpoint) {
	if p.URL != nil {
		e.URL = *p.URL
	}
	if p.Description != nil {
		e.Description = *p.Description
	}
	if p.EventTypes != nil {
		e.EventTypes = *p.EventTypes
	}
	switch {
	case p.Enabled == nil:
	case *p.Enabled:
		e.Status, e.DisabledReason = EndpointEnabled, ""
	case e.Status == EndpointEnabled:
		e.Status, e.DisabledReason = EndpointDisabled, ReasonOperator
	}
}

// EnableEndpoint makes an endpoint take part again, from now on: what ended while it was disabled is sent by Recover.
// Error: webhook_endpoint_not_found.
func (s *Service) EnableEndpoint(ctx context.Context, id uuid.UUID) (Endpoint, error) {
	enabled := true
	return s.UpdateEndpoint(ctx, id, EndpointPatch{Enabled: &enabled})
}

// DeleteEndpoint removes an endpoint and its secrets. Its deliveries stay to be read; the open ones end as
// endpoint_disabled. Error: webhook_endpoint_not_found.
func (s *Service) DeleteEndpoint(ctx context.Context, id uuid.UUID) error {
	err := pgdb.InTx(ctx, s.deps.Pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		if _, err := q.WebhookEndpointLock(ctx, id); err != nil {
			return endpointNotFound(err, id)
		}
		if err := q.WebhookSecretsDelete(ctx, id); err != nil {
			return fmt.Errorf("webhooks: delete secrets: %w", err)
		}
		return q.WebhookEndpointDelete(ctx, dbq.WebhookEndpointDeleteParams{ID: id, DeletedAt: s.now()})
	})
	if err != nil {
		return err
	}
	s.endOpen(ctx, id)
	return nil
}

// SendTest sends a webhook.test event to one endpoint, whatever its filters, and returns the event's id. Errors:
// webhook_endpoint_not_found, webhook_endpoint_disabled.
func (s *Service) SendTest(ctx context.Context, id uuid.UUID, traceparent string) (uuid.UUID, error) {
	eventID := uuid.Must(uuid.NewV7())
	err := s.deps.Box.InTxAgain(ctx, func(tx *outbox.Tx) error {
		row, err := dbq.New(tx).WebhookEndpointGet(ctx, id)
		if err != nil {
			return endpointNotFound(err, id)
		}
		if row.Status != EndpointEnabled {
			return fault.New(fault.Conflict, "webhook_endpoint_disabled", "id", id.String())
		}
		tx.Append(outbox.Event{
			ID: eventID, AggregateType: AggregateType, AggregateID: id.String(), Type: EventTest,
			Payload: fmt.Appendf(nil, `{"endpoint_id":"%s","message":"This is a test. Nothing happened."}`, id),
			Headers: outbox.Headers{Traceparent: traceparent, EndpointID: &id},
		})
		return nil
	})
	return eventID, err
}

// endOpen ends the open deliveries of a disabled endpoint, some at a time. What a failure leaves open is ended by its
// job, or by Sweep.
func (s *Service) endOpen(ctx context.Context, endpointID uuid.UUID) {
	const atOnce = 1000
	for {
		ended, err := dbq.New(s.deps.Pool).WebhookDeliveriesEndDisabled(ctx, dbq.WebhookDeliveriesEndDisabledParams{
			EndpointID: endpointID, Now: s.now(), MaxRows: atOnce,
		})
		if err != nil {
			s.deps.Log.WarnContext(ctx, "webhooks: deliveries of a disabled endpoint stay open for now",
				"endpoint_id", endpointID, "error", err)
			return
		}
		if ended < atOnce {
			return
		}
	}
}

func endpointOf(row dbq.WebhookEndpoint) Endpoint {
	e := Endpoint{
		ID: row.ID, URL: row.URL, Description: row.Description, EventTypes: row.EventTypes, Status: row.Status,
		CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(),
	}
	if row.DisabledReason != nil {
		e.DisabledReason = *row.DisabledReason
	}
	return e
}

func endpointNotFound(err error, id uuid.UUID) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.New(fault.NotFound, "webhook_endpoint_not_found", "id", id.String())
	}
	return fmt.Errorf("webhooks: endpoint %s: %w", id, err)
}
