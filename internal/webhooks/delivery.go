package webhooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/paging"
)

// The statuses of a delivery. All but the first are ends.
const (
	DeliveryPending          = "pending"
	DeliverySucceeded        = "succeeded"
	DeliveryExhausted        = "exhausted"
	DeliveryEndpointDisabled = "endpoint_disabled"
)

// maxShownAttempts bounds the attempts that are shown with a delivery, the latest.
const maxShownAttempts = 100

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	ID              uuid.UUID
	EventID         uuid.UUID
	EventType       string
	EventOccurredAt time.Time
	EndpointID      uuid.UUID
	Status          string
	Attempts        int        // made so far, over all rounds of sending
	LastStatusCode  int        // 0 when the last attempt had no answer
	LastError       string     // of the last attempt; empty when it succeeded
	NextAttemptAt   *time.Time // while pending; in the past when it is due or at work
	CreatedAt       time.Time
	FinishedAt      *time.Time
}

// WebhookID is the webhook-id that the subscriber sees.
func (d Delivery) WebhookID() string { return MessageID(d.EventID) }

// Attempt is one request and what came of it.
type Attempt struct {
	Number       int
	StartedAt    time.Time
	Duration     time.Duration
	StatusCode   int    // 0 when there was no answer
	Error        string // empty for a success
	ResponseBody string // the first 4 KiB, as text
}

// DeliveryFilter narrows a list. Empty fields mean all.
type DeliveryFilter struct {
	EndpointID uuid.UUID
	Status     string
	EventType  string
}

// Delivery finds one, with its latest 100 attempts, the oldest first. Error: webhook_delivery_not_found.
func (s *Service) Delivery(ctx context.Context, id uuid.UUID) (Delivery, []Attempt, error) {
	q := dbq.New(s.deps.Pool)
	row, err := q.WebhookDeliveryGet(ctx, id)
	if err != nil {
		return Delivery{}, nil, deliveryNotFound(err, id)
	}
	rows, err := q.WebhookAttemptsOf(ctx, dbq.WebhookAttemptsOfParams{DeliveryID: id, MaxRows: maxShownAttempts})
	if err != nil {
		return Delivery{}, nil, fmt.Errorf("webhooks: attempts of %s: %w", id, err)
	}
	attempts := make([]Attempt, len(rows))
	for i, row := range slices.Backward(rows) {
		attempts[len(rows)-1-i] = Attempt{
			Number: int(row.Attempt), StartedAt: row.StartedAt.UTC(), Duration: time.Duration(row.DurationMs) * time.Millisecond,
			StatusCode: orZero(row.StatusCode), Error: orEmpty(row.Error), ResponseBody: row.ResponseBody,
		}
	}
	return deliveryOf(row), attempts, nil
}

// Deliveries lists them, the newest first, with the cursor of the next page, empty on the last. Error: cursor_invalid.
func (s *Service) Deliveries(ctx context.Context, f DeliveryFilter, cursor string, limit int) ([]Delivery, string, error) {
	page, err := paging.Parse(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	rows, err := listDeliveries(ctx, dbq.New(s.deps.Pool), f, page)
	if err != nil {
		return nil, "", fmt.Errorf("webhooks: list deliveries: %w", err)
	}
	rows, next := paging.Cut(page, rows, func(row dbq.WebhookDelivery) uuid.UUID { return row.ID })
	deliveries := make([]Delivery, len(rows))
	for i, row := range rows {
		deliveries[i] = deliveryOf(row)
	}
	return deliveries, next, nil
}

// listDeliveries picks the query whose index narrows most.
func listDeliveries(ctx context.Context, q *dbq.Queries, f DeliveryFilter, page paging.Page) ([]dbq.WebhookDelivery, error) {
	switch {
	case f.EndpointID != uuid.Nil:
		return q.WebhookDeliveryListByEndpoint(ctx, dbq.WebhookDeliveryListByEndpointParams{
			EndpointID: f.EndpointID, Status: f.Status, EventType: f.EventType, Before: page.Before, MaxRows: page.MaxRows,
		})
	case f.Status != "" && f.Status != DeliverySucceeded:
		return q.WebhookDeliveryListUnfinishedByStatus(ctx, dbq.WebhookDeliveryListUnfinishedByStatusParams{
			Status: f.Status, EventType: f.EventType, Before: page.Before, MaxRows: page.MaxRows,
		})
	case f.EventType != "":
		return q.WebhookDeliveryListByType(ctx, dbq.WebhookDeliveryListByTypeParams{
			EventType: f.EventType, Status: f.Status, Before: page.Before, MaxRows: page.MaxRows,
		})
	case f.Status != "":
		return q.WebhookDeliveryListByStatus(ctx, dbq.WebhookDeliveryListByStatusParams{
			Status: f.Status, Before: page.Before, MaxRows: page.MaxRows,
		})
	}
	return q.WebhookDeliveryList(ctx, dbq.WebhookDeliveryListParams{Before: page.Before, MaxRows: page.MaxRows})
}

func deliveryOf(row dbq.WebhookDelivery) Delivery {
	return Delivery{
		ID: row.ID, EventID: row.EventID, EventType: row.EventType, EventOccurredAt: row.EventOccurredAt.UTC(),
		EndpointID: row.EndpointID, Status: row.Status, Attempts: int(row.Attempts),
		LastStatusCode: orZero(row.LastStatusCode), LastError: orEmpty(row.LastError),
		NextAttemptAt: row.NextAttemptAt, CreatedAt: row.CreatedAt.UTC(), FinishedAt: row.FinishedAt,
	}
}

func deliveryNotFound(err error, id uuid.UUID) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.New(fault.NotFound, "webhook_delivery_not_found", "id", id.String())
	}
	return fmt.Errorf("webhooks: delivery %s: %w", id, err)
}

func orZero(n *int32) int {
	if n == nil {
		return 0
	}
	return int(*n)
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
