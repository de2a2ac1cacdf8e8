package risk

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics have the rules' names in their labels: they are the operator's own, and few.
type metrics struct {
	decisions metric.Int64Counter
	matches   metric.Int64Counter
	scorer    metric.Float64Histogram
}

func newMetrics(provider metric.MeterProvider) (m metrics, err error) {
	meter := provider.Meter("github.com/vendbox/vendbox/internal/risk")
	m.decisions, err = meter.Int64Counter("vendbox.risk.assessments", metric.WithUnit("{order}"),
		metric.WithDescription("Paid orders that were assessed, by decision."))
	if err != nil {
		return m, err
	}
	m.matches, err = meter.Int64Counter("vendbox.risk.rule.matches", metric.WithUnit("{order}"),
		metric.WithDescription("Orders that a rule matched, by rule and by what that did: refuse (not placed) or hold (paid)."))
	if err != nil {
		return m, err
	}
	m.scorer, err = meter.Float64Histogram("vendbox.risk.scorer.duration", metric.WithUnit("s"),
		metric.WithDescription("How long questions to the scorer took, by outcome; those not asked while it is down are among the failed."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, .8, 1, 2.5, 5, 10))
	return m, err
}

func (m metrics) assessed(ctx context.Context, v *verdict) {
	m.decisions.Add(ctx, 1, metric.WithAttributes(attribute.String("decision", string(v.decision))))
	m.matched(ctx, v.rules, Hold)
}

func (m metrics) matched(ctx context.Context, rules []string, action Action) {
	for _, name := range rules {
		m.matches.Add(ctx, 1, metric.WithAttributes(attribute.String("rule", name), attribute.String("action", string(action))))
	}
}

func (m metrics) asked(ctx context.Context, outcome ScorerOutcome, took time.Duration) {
	m.scorer.Record(ctx, took.Seconds(), metric.WithAttributes(attribute.String("outcome", string(outcome))))
}
