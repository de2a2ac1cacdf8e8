package risk

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/vendbox/vendbox/internal/telemetry"
)

// Args of an assessment. It stands in the queue of deliveries, in the place of the order's delivery.
type Args struct {
	OrderID uuid.UUID `json:"order_id"`
}

// Kind is "assess_order".
func (Args) Kind() string { return "assess_order" }

// Worker assesses paid orders. It works also where there are no rules (any more): what waits then passes.
type Worker struct {
	river.WorkerDefaults[Args]

	s *Service
}

// Worker of this room, for River.
func (s *Service) Worker() *Worker { return &Worker{s: s} }

// Timeout is above the scorer's longest and those of the two groups.
func (w *Worker) Timeout(*river.Job[Args]) time.Duration { return 45 * time.Second }

// NextRetry backs off up to a minute, with full jitter, as deliveries do: what fails here is the database.
func (w *Worker) NextRetry(job *river.Job[Args]) time.Time {
	ceiling := min(time.Second<<min(job.Attempt, 6), time.Minute)
	return time.Now().Add(rand.N(ceiling))
}

// Work assesses the job's order, unless that was done before or there is nothing to decide any more.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	s := w.s
	ctx, span := s.tracer.Start(telemetry.WithJobMetadata(ctx, job.Metadata), "assess order",
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attribute.String("vendbox.order_id", job.Args.OrderID.String())))
	defer span.End()
	v, err := s.assess(ctx, job.Args.OrderID)
	if err != nil {
		span.SetStatus(codes.Error, "not assessed")
		return err
	}
	if v == nil {
		return nil
	}
	span.SetAttributes(attribute.String("vendbox.decision", string(v.decision)), attribute.StringSlice("vendbox.risk.rules", v.rules))
	s.metrics.assessed(ctx, v)
	if v.decision == DecisionHold || v.scorer.Outcome == ScorerFailed {
		s.log.WarnContext(ctx, "risk: order assessed", "order_id", v.orderID, "decision", v.decision, "rules", v.rules,
			"scorer", v.scorer.Outcome, "scorer_reason", v.scorer.Reason)
	}
	return nil
}

// assess gives the verdict that it wrote; nil where somebody else's stands, or none was needed.
func (s *Service) assess(ctx context.Context, orderID uuid.UUID) (*verdict, error) {
	d, err := s.readers.Do(ctx, orderID)
	if err != nil || d == nil {
		return nil, err
	}
	v := &verdict{
		orderID: orderID, traceparent: telemetry.Traceparent(ctx), rules: s.matching(d), scorer: score{Outcome: ScorerOff},
	}
	onFailure := DecisionPass
	if s.scorer != nil {
		onFailure = s.scorer.cfg.OnFailure
		begun := time.Now()
		if v.scorer, err = s.scorer.ask(ctx, d.question(v.rules)); err != nil {
			return nil, err
		}
		s.metrics.asked(ctx, v.scorer.Outcome, time.Since(begun))
	}
	v.decision = decide(v.rules, v.scorer, onFailure)
	wrote, err := s.writers.Do(ctx, v)
	if err != nil || !wrote {
		return nil, err
	}
	return v, nil
}
