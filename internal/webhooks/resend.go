package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

const (
	recoverAtOnce = 500
	// maxRecovered bounds one call of Recover.
	maxRecovered = 20 * recoverAtOnce
)

// Resend sends a delivery again, with the same webhook-id and bytes and all its attempts anew, whatever became of it
// before. Errors: webhook_delivery_not_found; webhook_delivery_in_flight while a job is at it or about to be;
// webhook_endpoint_disabled; webhook_event_expired when retention has dropped the event.
func (s *Service) Resend(ctx context.Context, id uuid.UUID, actor string) (Delivery, error) {
	var d Delivery
	err := pgdb.InTx(ctx, s.deps.Pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		row, err := q.WebhookDeliveryLock(ctx, id)
		if err != nil {
			return deliveryNotFound(err, id)
		}
		now := s.now()
		if row.NextAttemptAt != nil && !row.NextAttemptAt.After(now) {
			return fault.New(fault.Conflict, "webhook_delivery_in_flight", "id", id.String())
		}
		if err := wantEnabled(ctx, q, row.EndpointID); err != nil {
			return err
		}
		again, err := s.sendAgain(ctx, tx, []dbq.WebhookDelivery{row}, actor, now)
		if err != nil {
			return err
		}
		if again == 0 {
			return fault.New(fault.Gone, "webhook_event_expired", "id", id.String())
		}
		row, err = q.WebhookDeliveryGet(ctx, id)
		d = deliveryOf(row)
		return err
	})
	if err != nil {
		return Delivery{}, err
	}
	return d, nil
}

// Recovered is what Recover did.
type Recovered struct {
	Resent  int  // are being sent again
	Expired int  // are not, because their events are not kept any more
	More    bool // there are more: call again
}

// Recover sends everything again that an endpoint has not received, of the events since a time: what was given up, what
// ended while it was disabled, and what is waiting for its next attempt. One call does up to 10,000. Errors:
// webhook_endpoint_not_found, webhook_endpoint_disabled.
func (s *Service) Recover(ctx context.Context, endpointID uuid.UUID, since time.Time, actor string) (Recovered, error) {
	if _, err := s.Endpoint(ctx, endpointID); err != nil {
		return Recovered{}, err
	}
	var done Recovered
	after := uuid.Nil
	for seen := 0; seen < maxRecovered; {
		var rows []dbq.WebhookDelivery
		err := pgdb.InTx(ctx, s.deps.Pool, func(tx pgx.Tx) error {
			q := dbq.New(tx)
			if err := wantEnabled(ctx, q, endpointID); err != nil {
				return err
			}
			now := s.now()
			var err error
			rows, err = q.WebhookDeliveriesToRecover(ctx, dbq.WebhookDeliveriesToRecoverParams{
				EndpointID: endpointID, Since: since, Now: now, After: after, MaxRows: recoverAtOnce,
			})
			if err != nil {
				return fmt.Errorf("webhooks: find deliveries to recover: %w", err)
			}
			again, err := s.sendAgain(ctx, tx, rows, actor, now)
			if err != nil {
				return err
			}
			done.Resent += again
			done.Expired += len(rows) - again
			return nil
		})
		if err != nil {
			return Recovered{}, err
		}
		if len(rows) < recoverAtOnce {
			return done, nil
		}
		seen += len(rows)
		after = rows[len(rows)-1].ID
	}
	done.More = true
	return done, nil
}

// wantEnabled holds the endpoint's status until the transaction ends, or refuses.
func wantEnabled(ctx context.Context, q *dbq.Queries, endpointID uuid.UUID) error {
	refused, err := refuseDisabled(ctx, q, []uuid.UUID{endpointID})
	if err != nil {
		return err
	}
	if refused[endpointID] != nil {
		return refused[endpointID]
	}
	return nil
}

// refuseDisabled holds the endpoints' statuses until the transaction ends, and refuses those that are sent nothing.
func refuseDisabled(ctx context.Context, q *dbq.Queries, ids []uuid.UUID) (map[uuid.UUID]*fault.Error, error) {
	rows, err := q.WebhookDeliveryEndpointStatuses(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("webhooks: statuses of endpoints: %w", err)
	}
	refused := make(map[uuid.UUID]*fault.Error, len(ids))
	for _, id := range ids {
		refused[id] = fault.New(fault.NotFound, "webhook_endpoint_not_found", "id", id.String())
	}
	for _, row := range rows {
		refused[row.ID] = nil
		if row.Status != EndpointEnabled {
			refused[row.ID] = fault.New(fault.Conflict, "webhook_endpoint_disabled", "id", row.ID.String())
		}
	}
	return refused, nil
}

// sendAgain opens a new round for deliveries that the transaction has locked, each with a new job, and says for how
// many. The failed jobs of earlier rounds are closed in the actor's name: they are nobody's work any more. Those whose events are not
// kept any more it leaves as they are.
func (s *Service) sendAgain(ctx context.Context, tx pgx.Tx, rows []dbq.WebhookDelivery, actor string, now time.Time) (int, error) {
	q := dbq.New(tx)
	var eventIDs []uuid.UUID
	var times []time.Time
	for _, row := range rows {
		eventIDs, times = append(eventIDs, row.EventID), append(times, row.EventOccurredAt)
	}
	events, err := findEvents(ctx, q, eventIDs, times)
	if err != nil {
		return 0, err
	}
	reopen := dbq.WebhookDeliveriesReopenParams{Now: now}
	byID := make(map[uuid.UUID]dbq.WebhookDelivery, len(rows))
	for _, row := range rows {
		if _, kept := events[row.EventID]; kept {
			reopen.IDs = append(reopen.IDs, row.ID)
			byID[row.ID] = row
		}
	}
	if len(reopen.IDs) == 0 {
		return 0, nil
	}
	opened, err := q.WebhookDeliveriesReopen(ctx, reopen)
	if err != nil {
		return 0, fmt.Errorf("webhooks: reopen deliveries: %w", err)
	}
	jobs := make([]river.InsertManyParams, len(opened))
	failed := dbq.FailedJobsSupersedeParams{Kind: Args{}.Kind(), Argument: "delivery_id", Actor: actor, Now: now}
	for i, o := range opened {
		row := byID[o.ID]
		failed.IDs = append(failed.IDs, row.ID.String())
		var headers outbox.Headers
		if err := json.Unmarshal(events[row.EventID].Headers, &headers); err != nil {
			return 0, fmt.Errorf("webhooks: headers of event %s: %w", row.EventID, err)
		}
		args := Args{DeliveryID: row.ID, EndpointID: row.EndpointID, Round: o.Round}
		if jobs[i], err = s.job(args, headers.Traceparent); err != nil {
			return 0, err
		}
	}
	if _, err := s.deps.Jobs.InsertManyFastTx(ctx, tx, jobs); err != nil {
		return 0, fmt.Errorf("webhooks: insert jobs: %w", err)
	}
	if err := q.FailedJobsSupersede(ctx, failed); err != nil {
		return 0, fmt.Errorf("webhooks: close failed jobs: %w", err)
	}
	return len(jobs), nil
}

// BeforeRetry prepares deliveries whose failed jobs are set to work again as they are: failedjobs calls it for the kind
// deliver_webhook in the transaction of the retry. Refused are: webhook_delivery_superseded when the delivery has
// succeeded or has another job since, webhook_endpoint_disabled, webhook_endpoint_not_found, webhook_delivery_not_found.
func (s *Service) BeforeRetry(ctx context.Context, tx pgx.Tx, rawArgs [][]byte) ([]*fault.Error, error) {
	args := make([]Args, len(rawArgs))
	deliveries, endpoints := make([]uuid.UUID, len(rawArgs)), make([]uuid.UUID, len(rawArgs))
	for i, raw := range rawArgs {
		_ = json.Unmarshal(raw, &args[i]) // what names no delivery is not found
		deliveries[i], endpoints[i] = args[i].DeliveryID, args[i].EndpointID
	}
	q := dbq.New(tx)
	rows, err := q.WebhookDeliveriesLock(ctx, deliveries)
	if err != nil {
		return nil, fmt.Errorf("webhooks: lock deliveries: %w", err)
	}
	found := make(map[uuid.UUID]dbq.WebhookDeliveriesLockRow, len(rows))
	for _, row := range rows {
		found[row.ID] = row
	}
	disabled, err := refuseDisabled(ctx, q, endpoints)
	if err != nil {
		return nil, err
	}
	refused := make([]*fault.Error, len(args))
	var ready []uuid.UUID
	for i, a := range args {
		row, known := found[a.DeliveryID]
		switch {
		case !known:
			refused[i] = fault.New(fault.NotFound, "webhook_delivery_not_found", "id", a.DeliveryID.String())
		case disabled[a.EndpointID] != nil:
			refused[i] = disabled[a.EndpointID]
		case row.Round != a.Round || row.Status == DeliverySucceeded:
			refused[i] = fault.New(fault.Conflict, "webhook_delivery_superseded", "id", a.DeliveryID.String())
		default:
			ready = append(ready, a.DeliveryID)
		}
	}
	err = q.WebhookDeliveriesReopenSameRound(ctx, dbq.WebhookDeliveriesReopenSameRoundParams{IDs: ready, Now: s.now()})
	if err != nil {
		return nil, fmt.Errorf("webhooks: reopen deliveries: %w", err)
	}
	return refused, nil
}
