package webhooks

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/vendbox/vendbox/internal/telemetry"
)

// writeTime is what reading and writing around an attempt may take.
const writeTime = 20 * time.Second

// eventExpired is the error of a delivery whose event retention has dropped.
const eventExpired = "the event is not kept any more"

// Worker runs delivery jobs: a gathered read, HTTP in no transaction, a gathered write.
type Worker struct {
	river.WorkerDefaults[Args]

	s       *Service
	planned sync.Map // job id → the time that the ledger shows for the next attempt
}

// Worker of this room, for River.
func (s *Service) Worker() *Worker { return &Worker{s: s} }

// JobTimeout is above everything a job does. River's RescueStuckJobsAfter must be above it.
func (s *Service) JobTimeout() time.Duration { return s.cfg.Timeout + writeTime }

// Timeout is JobTimeout.
func (w *Worker) Timeout(*river.Job[Args]) time.Duration { return w.s.JobTimeout() }

// NextRetry is the time that was written into the ledger; after a failure of our own, which wrote none, it is as for an
// attempt that failed.
func (w *Worker) NextRetry(job *river.Job[Args]) time.Time {
	now := time.Now()
	if at, ok := w.planned.LoadAndDelete(job.ID); ok {
		if at, ok := at.(time.Time); ok && at.After(now) {
			return at
		}
		return now
	}
	return now.Add(w.s.cfg.wait(job.Attempt, 0))
}

// Work makes one attempt, unless the delivery has ended, belongs to another job by now, or has no endpoint to go to.
// Without room at its endpoint the job stays away for a while. That costs no attempt, and no query where it is known
// beforehand: a slow endpoint may have a hundred thousand deliveries that come and ask.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	pass, away := w.s.gate.ask(job.Args.EndpointID)
	if pass == nil {
		return w.snooze(ctx, away)
	}
	defer pass.leave()
	l, err := w.s.reads.Do(ctx, job.Args.DeliveryID)
	if err != nil {
		return err
	}
	if l.round != job.Args.Round {
		return nil
	}
	switch l.fate {
	case fateSend:
		return w.attempt(ctx, job, l, pass)
	case fateDisabled:
		return w.s.end(ctx, l, DeliveryEndpointDisabled, "the endpoint is disabled")
	case fateEventExpired:
		if err := w.s.end(ctx, l, DeliveryExhausted, eventExpired); err != nil {
			return err
		}
		return river.JobCancel(errors.New("webhook: " + eventExpired))
	case fateNothing:
	}
	return nil
}

// end ends a delivery without an attempt.
func (s *Service) end(ctx context.Context, l letter, status, why string) error {
	_, err := s.results.Do(ctx, result{
		deliveryID: l.deliveryID, endpointID: l.endpointID, round: l.round, outcome: status, error: why,
	})
	return err
}

func (w *Worker) snooze(ctx context.Context, away time.Duration) error {
	w.s.metrics.snoozes.Add(ctx, 1)
	return river.JobSnooze(away)
}

// attempt is in flight for the time of the call alone: what our own database takes is not the endpoint's slowness.
func (w *Worker) attempt(ctx context.Context, job *river.Job[Args], l letter, pass *pass) error {
	if away := pass.enter(ctx); away > 0 {
		return w.snooze(ctx, away)
	}
	spanCtx, span := w.s.startSpan(ctx, l)
	defer span.End()
	a := w.send(spanCtx, l, pass)
	if a.problem != "" && ctx.Err() != nil {
		return ctx.Err() // stopping: nobody knows how it would have ended, and River gives the attempt back
	}
	r := w.s.judge(job, l, a)
	if throttles(a.status) {
		pass.pause(pauseAfter(a.retryAfter))
	}
	// Once sent, what came of it is written, also while the process stops.
	ctx = context.WithoutCancel(spanCtx)
	if _, err := w.s.results.Do(ctx, r); err != nil {
		span.SetStatus(codes.Error, "not recorded")
		return err
	}
	w.s.note(ctx, span, l, r)
	if r.gone {
		w.s.endOpen(ctx, l.endpointID)
	}
	switch r.outcome {
	case outcomeFailed:
		w.planned.Store(job.ID, r.nextAt)
		return errors.New("webhook: " + r.error)
	case DeliveryExhausted:
		return errors.New("webhook: " + r.error + "; this was the last attempt")
	}
	return nil
}

func (w *Worker) send(ctx context.Context, l letter, pass *pass) answer {
	defer pass.leave()
	return w.s.sender.send(ctx, l)
}

// judge decides what an answer means for the delivery.
func (s *Service) judge(job *river.Job[Args], l letter, a answer) result {
	r := result{
		deliveryID: l.deliveryID, endpointID: l.endpointID, eventType: l.eventType, round: l.round, url: l.url,
		attempted: true, answer: a, error: a.failure(),
	}
	switch {
	case a.succeeded():
		r.outcome = DeliverySucceeded
	case a.status == http.StatusGone:
		r.outcome, r.gone = DeliveryEndpointDisabled, true
	case job.Attempt >= job.MaxAttempts:
		r.outcome = DeliveryExhausted
	default:
		r.outcome = outcomeFailed
		r.nextAt = s.now().Add(s.cfg.wait(job.Attempt, a.retryAfter).Truncate(time.Microsecond))
	}
	return r
}

// startSpan goes on with the trace of the request that caused the event, and links the job's own.
func (s *Service) startSpan(ctx context.Context, l letter) (context.Context, trace.Span) {
	opts := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			attribute.String("webhook.delivery_id", l.deliveryID.String()),
			attribute.String("webhook.endpoint_id", l.endpointID.String()),
			attribute.String("webhook.event_type", l.eventType),
			attribute.String("server.address", hostOf(l.url)),
		),
	}
	if link := trace.LinkFromContext(ctx); l.traceparent != "" && link.SpanContext.IsValid() {
		opts = append(opts, trace.WithLinks(link))
	}
	return s.sender.tracer.Start(telemetry.WithTraceparent(ctx, l.traceparent), "deliver webhook", opts...)
}

// note is the one line, the measurement and the span's end of an attempt.
func (s *Service) note(ctx context.Context, span trace.Span, l letter, r result) {
	s.metrics.attempt(ctx, r.outcome, r.answer.took)
	if r.answer.status > 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", r.answer.status))
	}
	level := slog.LevelInfo
	if r.outcome != DeliverySucceeded {
		level = slog.LevelWarn
		span.SetStatus(codes.Error, r.error)
	}
	if !s.deps.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("outcome", r.outcome), slog.String("event_type", l.eventType),
		slog.Any("delivery_id", l.deliveryID), slog.Any("event_id", l.eventID), slog.Any("endpoint_id", l.endpointID),
		slog.String("host", hostOf(l.url)), slog.Int("attempt", int(l.attempts)+1), slog.Int("round", int(l.round)),
		slog.Int("status", r.answer.status), slog.Int64("duration_ms", r.answer.took.Milliseconds()),
	}
	if r.error != "" {
		attrs = append(attrs, slog.String("error", r.error))
	}
	if r.outcome == outcomeFailed {
		attrs = append(attrs, slog.Time("next_attempt_at", r.nextAt))
	}
	s.deps.Log.LogAttrs(ctx, level, "webhook attempt", attrs...)
}
