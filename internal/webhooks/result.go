package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/outbox"
)

// outcomeFailed is an attempt's that will be followed by another; the others are what its delivery ended as.
const outcomeFailed = "failed"

// result is what is to be written about one delivery.
type result struct {
	deliveryID uuid.UUID
	endpointID uuid.UUID
	eventType  string
	round      int32
	url        string
	outcome    string
	error      string
	attempted  bool // else it ends without an attempt, and there is no answer
	answer     answer
	nextAt     time.Time // for outcomeFailed
	gone       bool      // the endpoint answered 410
}

// record writes what came of deliveries: their rows and attempts set-wise, and the end of endpoints that are gone.
func (s *Service) record(ctx context.Context, batch []result) ([]groupcommit.Result[struct{}], error) {
	err := s.deps.Box.InTx(ctx, func(tx *outbox.Tx) error {
		q := dbq.New(tx.AtEnd())
		var ended, attempted []result
		for _, r := range batch {
			if r.attempted {
				attempted = append(attempted, r)
			} else {
				ended = append(ended, r)
			}
		}
		if err := recordEnds(ctx, q, ended, tx.Now); err != nil {
			return err
		}
		for len(attempted) > 0 {
			var again []result
			attempted, again = firsts(attempted)
			if err := recordAttempts(ctx, q, attempted, tx.Now); err != nil {
				return err
			}
			attempted = again
		}
		return recordGone(ctx, tx, batch)
	})
	return make([]groupcommit.Result[struct{}], len(batch)), err
}

// firsts parts the first result of each delivery from the others: an update sees a row once.
func firsts(results []result) (first, again []result) {
	seen := make(map[uuid.UUID]bool, len(results))
	for _, r := range results {
		if seen[r.deliveryID] {
			again = append(again, r)
			continue
		}
		seen[r.deliveryID] = true
		first = append(first, r)
	}
	return first, again
}

func recordAttempts(ctx context.Context, q *dbq.Queries, results []result, now time.Time) error {
	p := dbq.WebhookAttemptRecordParams{Now: now}
	for _, r := range results {
		p.IDs = append(p.IDs, r.deliveryID)
		p.Rounds = append(p.Rounds, r.round)
		p.Outcomes = append(p.Outcomes, r.outcome)
		p.StartedAt = append(p.StartedAt, r.answer.at)
		p.DurationsMs = append(p.DurationsMs, int32(r.answer.took.Milliseconds()))
		p.StatusCodes = append(p.StatusCodes, int32(r.answer.status))
		p.Errors = append(p.Errors, r.error)
		p.Bodies = append(p.Bodies, r.answer.body)
		p.NextAttemptsAt = append(p.NextAttemptsAt, r.nextAt)
	}
	if err := q.WebhookAttemptRecord(ctx, p); err != nil {
		return fmt.Errorf("webhooks: record attempts: %w", err)
	}
	return nil
}

func recordEnds(ctx context.Context, q *dbq.Queries, results []result, now time.Time) error {
	if len(results) == 0 {
		return nil
	}
	p := dbq.WebhookDeliveryEndParams{Now: now}
	for _, r := range results {
		p.IDs = append(p.IDs, r.deliveryID)
		p.Rounds = append(p.Rounds, r.round)
		p.Statuses = append(p.Statuses, r.outcome)
		p.Errors = append(p.Errors, r.error)
	}
	if err := q.WebhookDeliveryEnd(ctx, p); err != nil {
		return fmt.Errorf("webhooks: end deliveries: %w", err)
	}
	return nil
}

// recordGone disables endpoints that answered 410 and says so in an event. The URL stays out of it: it may hold a token.
func recordGone(ctx context.Context, tx *outbox.Tx, results []result) error {
	p := dbq.WebhookEndpointsGoneParams{At: tx.Now}
	for _, r := range results {
		if r.gone {
			p.IDs = append(p.IDs, r.endpointID)
			p.Urls = append(p.Urls, r.url)
		}
	}
	if len(p.IDs) == 0 {
		return nil
	}
	disabled, err := dbq.New(tx).WebhookEndpointsGone(ctx, p)
	if err != nil {
		return fmt.Errorf("webhooks: disable endpoints: %w", err)
	}
	for _, endpoint := range disabled {
		tx.Append(outbox.Event{
			AggregateType: AggregateType, AggregateID: endpoint.ID.String(), Type: EventEndpointDisabled,
			Payload: fmt.Appendf(nil, `{"endpoint_id":"%s","reason":"%s"}`, endpoint.ID, ReasonGone),
		})
	}
	return nil
}
