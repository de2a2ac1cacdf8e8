package fulfillment

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// contendedSnooze is how long another transaction is given to commit or roll back the cards it holds.
const contendedSnooze = 200 * time.Millisecond

// Worker delivers orders. Jobs that run at the same time share a transaction.
type Worker struct {
	river.WorkerDefaults[Args]

	group  *groupcommit.Group[uuid.UUID, Outcome]
	log    *slog.Logger
	tracer trace.Tracer
}

// NewWorker makes the worker; tracing is nil for none. Close it after River has stopped.
func NewWorker(box *outbox.Box, log *slog.Logger, tracing trace.TracerProvider) *Worker {
	if tracing == nil {
		tracing = noop.NewTracerProvider()
	}
	tracer := tracing.Tracer("github.com/vendbox/vendbox/internal/fulfillment")
	return &Worker{log: log, tracer: tracer, group: groupcommit.New(groupcommit.Config[uuid.UUID, Outcome]{
		Flush: func(ctx context.Context, orderIDs []uuid.UUID) (results []groupcommit.Result[Outcome], err error) {
			err = box.InTxWaiting(ctx, groupcommit.Patience(ctx), func(tx *outbox.Tx) error {
				results, err = Deliver(ctx, tx, orderIDs)
				return err
			})
			return results, err
		},
		Retryable: pgdb.IsRetryable, Splittable: pgdb.IsMembers,
	})}
}

// Close lets the deliveries at hand finish.
func (w *Worker) Close() { w.group.Close() }

// Timeout is above the transaction's own and that of its last trip.
func (w *Worker) Timeout(*river.Job[Args]) time.Duration { return 45 * time.Second }

// NextRetry backs off up to a minute, with full jitter: what fails here is the database, and the buyer is waiting.
func (w *Worker) NextRetry(job *river.Job[Args]) time.Time {
	ceiling := min(time.Second<<min(job.Attempt, 6), time.Minute)
	return time.Now().Add(rand.N(ceiling))
}

// Work delivers the job's order.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	ctx, span := w.tracer.Start(telemetry.WithJobMetadata(ctx, job.Metadata), "deliver order",
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attribute.String("vendbox.order_id", job.Args.OrderID.String())))
	defer span.End()
	outcome, err := w.group.Do(ctx, job.Args.OrderID)
	if err != nil {
		span.SetStatus(codes.Error, "not delivered")
		return err
	}
	span.SetAttributes(attribute.String("vendbox.outcome", string(outcome)))
	if outcome == Contended {
		return river.JobSnooze(contendedSnooze)
	}
	if outcome != Delivered {
		w.log.WarnContext(ctx, "order not delivered", "order_id", job.Args.OrderID, "outcome", outcome)
	}
	return nil
}
