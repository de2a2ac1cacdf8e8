package relay

import (
	"go.opentelemetry.io/otel/metric"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// Measure reports at each scrape for how long the oldest events have waited to be relayed. It is the database's, so every
// process reports the same.
func (r *Relay) Measure(provider metric.MeterProvider) error {
	meter := provider.Meter("github.com/vendbox/vendbox/internal/relay")
	oldest, err := meter.Float64ObservableGauge("vendbox.relay.oldest_age", metric.WithUnit("s"),
		metric.WithDescription("How long the oldest events that are not relayed have waited; 0 when all are."))
	if err != nil {
		return err
	}
	return telemetry.Observe(meter, r.log, dbq.New(r.pool).RelayOldestAge, func(o metric.Observer, seconds float64) {
		o.ObserveFloat64(oldest, seconds)
	}, oldest)
}
