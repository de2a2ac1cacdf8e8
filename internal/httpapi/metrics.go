package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics are OpenTelemetry's HTTP server metrics.
type metrics struct {
	duration metric.Float64Histogram
	sets     sync.Map // series → metric.MeasurementOption: making a set of attributes costs more than recording it
}

type series struct {
	method, route string
	status        int
}

func newMetrics(provider metric.MeterProvider) (*metrics, error) {
	if provider == nil {
		return &metrics{}, nil
	}
	duration, err := provider.Meter("github.com/vendbox/vendbox/internal/httpapi").Float64Histogram(
		"http.server.request.duration",
		metric.WithUnit("s"),
		metric.WithDescription("Duration of HTTP server requests."),
		metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
	)
	return &metrics{duration: duration}, err
}

func (m *metrics) observe(ctx context.Context, x *exchange, elapsed time.Duration) {
	if m.duration == nil || x.op != nil && x.op.Class == stream {
		return
	}
	key := series{method: methodOf(x), route: x.route(), status: x.status}
	option, ok := m.sets.Load(key)
	if !ok {
		option, _ = m.sets.LoadOrStore(key, metric.WithAttributeSet(attribute.NewSet(
			attribute.String("http.request.method", key.method),
			attribute.String("http.route", key.route),
			attribute.Int("http.response.status_code", key.status),
		)))
	}
	m.duration.Record(ctx, elapsed.Seconds(), option.(metric.MeasurementOption)) //nolint:errcheck,forcetypeassert // see sets
}

// methodOf keeps invented methods from becoming series.
func methodOf(x *exchange) string {
	if x.op != nil {
		return x.op.Method
	}
	switch x.req.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return x.req.Method
	}
	return "_OTHER"
}
