package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/pgdb"
)

const (
	// forgottenAfter is how long a delivery is overdue before it is asked whether it has a job at all.
	forgottenAfter = 15 * time.Minute
	sweepAtOnce    = 500
)

// Swept is what Sweep found.
type Swept struct {
	Requeued int // deliveries that had lost their job and have a new one
}

// Sweep keeps the promise that no delivery is forgotten: open ones whose job is gone (it died at its last attempt, or
// somebody removed it) get a new one, and those of disabled endpoints end. It also drops secrets that expired long ago.
// It is meant to run every few minutes, in one process.
func (s *Service) Sweep(ctx context.Context) (Swept, error) {
	var swept Swept
	q := dbq.New(s.deps.Pool)
	endpoints, err := q.WebhookEndpointIDsWithPending(ctx, sweepAtOnce)
	if err != nil {
		return swept, fmt.Errorf("webhooks: find disabled endpoints: %w", err)
	}
	for _, id := range endpoints {
		s.endOpen(ctx, id)
	}
	for {
		n, err := s.requeue(ctx)
		swept.Requeued += n
		if err != nil {
			return swept, err
		}
		if n < sweepAtOnce {
			break
		}
	}
	if _, err := q.WebhookSecretsPrune(ctx, s.now().Add(-MaxSecretOverlap)); err != nil {
		return swept, fmt.Errorf("webhooks: prune secrets: %w", err)
	}
	return swept, nil
}

// requeue gives new jobs to forgotten deliveries. Those whose events are not kept any more end as exhausted.
func (s *Service) requeue(ctx context.Context) (n int, err error) {
	err = pgdb.InTx(ctx, s.deps.Pool, func(tx pgx.Tx) error {
		// All jobs that can still run are read once, and not once for each delivery.
		if err := pgdb.WholeTables(ctx, tx); err != nil {
			return err
		}
		q := dbq.New(tx)
		now := s.now()
		rows, err := q.WebhookDeliveriesForgotten(ctx, dbq.WebhookDeliveriesForgottenParams{
			Overdue: now.Add(-forgottenAfter), MaxRows: sweepAtOnce,
		})
		if err != nil {
			return fmt.Errorf("webhooks: find forgotten deliveries: %w", err)
		}
		if _, err = s.sendAgain(ctx, tx, rows, "sweep", now); err != nil {
			return err
		}
		// sendAgain has raised the round of all but those without an event, so that only these end here.
		end := dbq.WebhookDeliveryEndParams{Now: now}
		for _, row := range rows {
			end.IDs = append(end.IDs, row.ID)
			end.Rounds = append(end.Rounds, row.Round)
			end.Statuses = append(end.Statuses, DeliveryExhausted)
			end.Errors = append(end.Errors, eventExpired)
		}
		n = len(rows)
		return q.WebhookDeliveryEnd(ctx, end)
	})
	return n, err
}

// Prune is retention: it deletes ended deliveries that were made before a time, with their attempts, and says how many.
func (s *Service) Prune(ctx context.Context, before time.Time) (int64, error) {
	const atOnce = 5000
	var pruned int64
	for {
		n, err := dbq.New(s.deps.Pool).WebhookDeliveriesPrune(ctx, dbq.WebhookDeliveriesPruneParams{
			Before: pgdb.FirstID(before), MaxRows: atOnce,
		})
		pruned += n
		if err != nil {
			return pruned, fmt.Errorf("webhooks: prune deliveries: %w", err)
		}
		if n < atOnce {
			return pruned, nil
		}
	}
}
