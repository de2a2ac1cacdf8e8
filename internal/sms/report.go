package sms

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// report makes the attempt's one log line and finishes its span. Neither holds the number or the text.
func (a *attempt) report(ctx context.Context, span trace.Span, err error) {
	outcome := string(a.result.Outcome)
	if outcome == "" {
		outcome = "none"
	}
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		span.SetStatus(codes.Error, a.result.Code)
	}
	span.SetAttributes(
		attribute.String("vendbox.sms.message_id", a.job.Args.MessageID.String()),
		attribute.String("vendbox.sms.provider", a.s.deps.Provider.Name()),
		attribute.String("vendbox.sms.outcome", outcome),
		attribute.String("vendbox.sms.code", a.result.Code),
		attribute.Int("vendbox.sms.segments", a.segments),
		attribute.Bool("vendbox.sms.asked_provider", a.asked),
	)
	a.s.deps.Log.LogAttrs(ctx, level, "sms attempt",
		slog.String("message_id", a.job.Args.MessageID.String()),
		slog.String("order_id", a.draft.OrderID.String()),
		slog.String("event_type", a.draft.EventType),
		slog.String("provider", a.s.deps.Provider.Name()),
		slog.String("outcome", outcome),
		slog.String("code", a.result.Code),
		slog.String("note", a.note),
		slog.Int("segments", a.segments),
		slog.Int("attempt", int(a.draft.Attempts)),
		slog.Int("job_attempt", a.job.Attempt),
		slog.Bool("asked_provider", a.asked),
		slog.Duration("provider_latency", a.latency),
		slog.Duration("duration", a.s.deps.Now().Sub(a.began)),
		slog.Any("error", err),
	)
}
