package webhooks

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics have no endpoint in their labels: there may be thousands.
type metrics struct {
	duration metric.Float64Histogram
	snoozes  metric.Int64Counter
}

func newMetrics(provider metric.MeterProvider) (m metrics, err error) {
	meter := provider.Meter("github.com/vendbox/vendbox/internal/webhooks")
	m.duration, err = meter.Float64Histogram("vendbox.webhook.attempt.duration", metric.WithUnit("s"),
		metric.WithDescription("How long attempts to deliver took, by outcome."),
		metric.WithExplicitBucketBoundaries(.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30))
	if err != nil {
		return m, err
	}
	m.snoozes, err = meter.Int64Counter("vendbox.webhook.snoozes", metric.WithUnit("{delivery}"),
		metric.WithDescription("Deliveries that stayed away because their endpoint had no room or asked for a pause."))
	return m, err
}

func (m metrics) attempt(ctx context.Context, outcome string, took time.Duration) {
	m.duration.Record(ctx, took.Seconds(), metric.WithAttributes(attribute.String("outcome", outcome)))
}
