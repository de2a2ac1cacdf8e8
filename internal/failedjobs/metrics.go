package failedjobs

import (
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// Measure reports at each scrape how many entries wait for a person, and for how long the oldest has, by queue and kind.
// They are the database's, so every process reports the same.
func (r *Room) Measure(provider metric.MeterProvider, log *slog.Logger) error {
	meter := provider.Meter("github.com/vendbox/vendbox/internal/failedjobs")
	open, err := meter.Int64ObservableGauge("vendbox.failed_jobs.open", metric.WithUnit("{job}"),
		metric.WithDescription("Failed jobs that wait for a person."))
	if err != nil {
		return err
	}
	oldest, err := meter.Float64ObservableGauge("vendbox.failed_jobs.oldest_age", metric.WithUnit("s"),
		metric.WithDescription("How long the oldest of them has waited."))
	if err != nil {
		return err
	}
	return telemetry.Observe(meter, log, dbq.New(r.pool).FailedJobsOpen, func(o metric.Observer, rows []dbq.FailedJobsOpenRow) {
		for _, row := range rows {
			of := metric.WithAttributes(attribute.String("queue", row.Queue), attribute.String("kind", row.Kind))
			o.ObserveInt64(open, row.Jobs, of)
			o.ObserveFloat64(oldest, row.OldestAge, of)
		}
	}, open, oldest)
}
