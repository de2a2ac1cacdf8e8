package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/outbox"
)

// maxReadBatch bounds a gathered read: each member may bring 256 KiB of payload.
const maxReadBatch = 128

// fate is what is to be done with a delivery that was read.
type fate int

const (
	fateNothing      fate = iota // it has ended, or is not there any more
	fateSend                     // the only one with everything in the letter
	fateDisabled                 // end it: its endpoint is disabled
	fateEventExpired             // end it: retention has dropped its event
)

// letter is everything that an attempt needs.
type letter struct {
	fate        fate
	deliveryID  uuid.UUID
	endpointID  uuid.UUID
	eventID     uuid.UUID
	eventType   string
	round       int32
	attempts    int32 // made before
	url         string
	body        []byte
	keys        [][]byte // of all secrets that have not expired, the newest first
	traceparent string
}

// load reads deliveries with their events and keys: three queries for all that gather.
func (s *Service) load(ctx context.Context, ids []uuid.UUID) ([]groupcommit.Result[letter], error) {
	q := dbq.New(s.deps.Pool)
	rows, err := q.WebhookDeliveriesToSend(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("webhooks: read deliveries: %w", err)
	}
	events, err := eventsOf(ctx, q, rows)
	if err != nil {
		return nil, err
	}
	secrets, err := s.validSecrets(ctx, q, rows)
	if err != nil {
		return nil, err
	}
	letters := make(map[uuid.UUID]groupcommit.Result[letter], len(rows))
	for _, row := range rows {
		l, err := s.write(ctx, row, events, secrets)
		letters[row.ID] = groupcommit.Result[letter]{Value: l, Err: err}
	}
	results := make([]groupcommit.Result[letter], len(ids))
	for i, id := range ids {
		results[i] = letters[id] // the zero value, fateNothing, for one that retention has taken
	}
	return results, nil
}

func toSend(row dbq.WebhookDeliveriesToSendRow) bool {
	return row.Status == DeliveryPending && row.EndpointStatus == EndpointEnabled
}

func eventsOf(ctx context.Context, q *dbq.Queries, rows []dbq.WebhookDeliveriesToSendRow) (map[uuid.UUID]dbq.WebhookEventsRow, error) {
	var ids []uuid.UUID
	var times []time.Time
	for _, row := range rows {
		if toSend(row) {
			ids, times = append(ids, row.EventID), append(times, row.EventOccurredAt)
		}
	}
	return findEvents(ctx, q, ids, times)
}

// findEvents reads those events that are still kept, by their ids and times.
func findEvents(ctx context.Context, q *dbq.Queries, ids []uuid.UUID, times []time.Time) (map[uuid.UUID]dbq.WebhookEventsRow, error) {
	if len(ids) == 0 {
		return nil, nil //nolint:nilnil // no events is no error, and a nil map reads as one
	}
	rows, err := q.WebhookEvents(ctx, dbq.WebhookEventsParams{IDs: ids, OccurredAt: times})
	if err != nil {
		return nil, fmt.Errorf("webhooks: read events: %w", err)
	}
	events := make(map[uuid.UUID]dbq.WebhookEventsRow, len(rows))
	for _, row := range rows {
		events[row.ID] = row
	}
	return events, nil
}

func (s *Service) validSecrets(
	ctx context.Context, q *dbq.Queries, rows []dbq.WebhookDeliveriesToSendRow,
) (map[uuid.UUID][]dbq.WebhookSecretsValidRow, error) {
	var ids []uuid.UUID
	for _, row := range rows {
		if toSend(row) && !slices.Contains(ids, row.EndpointID) {
			ids = append(ids, row.EndpointID)
		}
	}
	if len(ids) == 0 {
		return nil, nil //nolint:nilnil // see findEvents
	}
	found, err := q.WebhookSecretsValid(ctx, dbq.WebhookSecretsValidParams{EndpointIds: ids, Now: s.now()})
	if err != nil {
		return nil, fmt.Errorf("webhooks: read secrets: %w", err)
	}
	secrets := make(map[uuid.UUID][]dbq.WebhookSecretsValidRow, len(ids))
	for _, row := range found {
		secrets[row.EndpointID] = append(secrets[row.EndpointID], row)
	}
	return secrets, nil
}

// write makes the letter of one delivery.
func (s *Service) write(
	ctx context.Context, row dbq.WebhookDeliveriesToSendRow,
	events map[uuid.UUID]dbq.WebhookEventsRow, secrets map[uuid.UUID][]dbq.WebhookSecretsValidRow,
) (letter, error) {
	l := letter{
		fate: fateSend, deliveryID: row.ID, endpointID: row.EndpointID, eventID: row.EventID, eventType: row.EventType,
		round: row.Round, attempts: row.Attempts, url: row.URL,
	}
	switch {
	case row.Status != DeliveryPending:
		l.fate = fateNothing
		return l, nil
	case row.EndpointStatus != EndpointEnabled:
		l.fate = fateDisabled
		return l, nil
	}
	event, kept := events[row.EventID]
	if !kept {
		l.fate = fateEventExpired
		return l, nil
	}
	var headers outbox.Headers
	if err := json.Unmarshal(event.Headers, &headers); err != nil {
		return letter{}, fmt.Errorf("webhooks: headers of event %s: %w", event.ID, err)
	}
	l.traceparent = headers.Traceparent
	var err error
	if l.body, err = body(event.Type, event.OccurredAt, event.Payload); err != nil {
		return letter{}, err
	}
	for _, secret := range secrets[row.EndpointID] {
		key, err := s.deps.Vault.Unseal(ctx, cardvault.KindWebhookSecret, secret.ID, secret.Sealed)
		if err != nil {
			return letter{}, err
		}
		l.keys = append(l.keys, key)
	}
	if len(l.keys) == 0 {
		return letter{}, fmt.Errorf("webhooks: endpoint %s has no secret", row.EndpointID)
	}
	return l, nil
}
