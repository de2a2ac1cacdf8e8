package risk

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Config of a Service. The zero value has no rules.
type Config struct {
	File   File   // as Parse gives it
	Region string // as Parse was given it
}

// Deps of a Service. Pool, Box, Vault, Jobs, Delivery and Queue are required.
type Deps struct {
	Pool  *pgxpool.Pool
	Box   *outbox.Box
	Vault *cardvault.Vault
	Jobs  *river.Client[pgx.Tx] // inserts only
	// Delivery is the job that delivers an order, for those that pass.
	Delivery func(orderID uuid.UUID, traceparent string) river.InsertManyParams
	Queue    string // of those jobs
	Log      *slog.Logger
	Tracing  trace.TracerProvider // nil for none
	Metering metric.MeterProvider // nil for none
	Now      func() time.Time     // default time.Now
}

func (d Deps) withDefaults() Deps {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Tracing == nil {
		d.Tracing = tracenoop.NewTracerProvider()
	}
	if d.Metering == nil {
		d.Metering = metricnoop.NewMeterProvider()
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}

// Service is the room.
type Service struct {
	pool     *pgxpool.Pool
	box      *outbox.Box
	jobs     *river.Client[pgx.Tx]
	delivery func(uuid.UUID, string) river.InsertManyParams
	queue    string
	log      *slog.Logger
	tracer   trace.Tracer
	metrics  metrics
	now      func() time.Time

	rules  []rule
	scorer *scorer // nil: there is none

	askers  *groupcommit.Group[[][]probe, []history] // at placing
	readers *groupcommit.Group[uuid.UUID, *dossier]  // at payment: what is known
	writers *groupcommit.Group[*verdict, bool]       // and what is done about it
}

// NewService makes the room. Close it.
func NewService(cfg Config, deps Deps) (*Service, error) {
	deps = deps.withDefaults()
	if deps.Pool == nil || deps.Box == nil || deps.Vault == nil || deps.Jobs == nil || deps.Delivery == nil || deps.Queue == "" {
		return nil, errors.New("risk: Pool, Box, Vault, Jobs, Delivery and Queue are required")
	}
	s := &Service{
		pool: deps.Pool, box: deps.Box, jobs: deps.Jobs, delivery: deps.Delivery, queue: deps.Queue, log: deps.Log, now: deps.Now,
		tracer: deps.Tracing.Tracer("github.com/vendbox/vendbox/internal/risk"), rules: ready(cfg.File, cfg.Region, deps.Vault),
	}
	var err error
	if s.metrics, err = newMetrics(deps.Metering); err != nil {
		return nil, err
	}
	if cfg.File.Scorer != nil {
		s.scorer = newScorer(*cfg.File.Scorer, defaultBreak)
	}
	s.askers = groupcommit.New(groupcommit.Config[[][]probe, []history]{Flush: s.flushAsked, Retryable: pgdb.IsRetryable})
	s.readers = groupcommit.New(groupcommit.Config[uuid.UUID, *dossier]{Flush: s.flushRead, Retryable: pgdb.IsRetryable})
	s.writers = groupcommit.New(groupcommit.Config[*verdict, bool]{
		Flush: s.flushVerdicts, Retryable: pgdb.IsRetryable, Splittable: pgdb.IsMembers,
	})
	return s, nil
}

// Assesses says whether paid orders are assessed: there is a rule or a scorer.
func (s *Service) Assesses() bool { return len(s.rules) > 0 || s.scorer != nil }

// Close lets the assessments at hand finish.
func (s *Service) Close() {
	s.askers.Close()
	s.readers.Close()
	s.writers.Close()
	if s.scorer != nil {
		s.scorer.close()
	}
}

// flushAsked answers what several placings ask at the same time.
func (s *Service) flushAsked(ctx context.Context, batch [][][]probe) ([]groupcommit.Result[[]history], error) {
	var all [][]probe
	for _, asked := range batch {
		all = append(all, asked...)
	}
	seen, err := ask(ctx, s.pool, all)
	if err != nil {
		return nil, err
	}
	results := make([]groupcommit.Result[[]history], len(batch))
	for i, asked := range batch {
		results[i].Value, seen = seen[:len(asked)], seen[len(asked):]
	}
	return results, nil
}
