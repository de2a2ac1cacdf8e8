package webhooks

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
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

// Config of the room. The zero value is right for production.
type Config struct {
	// Version goes into the user-agent. Default "dev".
	Version string
	// AllowHTTP accepts endpoints without TLS. For development.
	AllowHTTP bool
	// AllowPrivate lets deliveries go to any address, our own network included. For development.
	AllowPrivate bool
	// AllowPrefixes are networks that deliveries may go to although they are not public.
	AllowPrefixes []netip.Prefix
	// Timeout bounds an attempt from dialling to the end of the answer. Default 15 s, at most a minute.
	Timeout time.Duration
	// MaxAttempts of a delivery. Default 8, at most 50.
	MaxAttempts int
	// RetryBase is the longest wait before the second attempt; each following one may be six times as long. Default 10 s.
	RetryBase time.Duration
	// RetryCap bounds every wait. Default 28 h.
	RetryCap time.Duration
	// MaxWorkers is how many deliveries the queue runs at once in this process, as River is told. Default 100.
	MaxWorkers int
	// MaxInFlight is how many of them may go to one endpoint. Default a quarter of MaxWorkers, at least 1.
	MaxInFlight int
	// SecretOverlap is how long a rotated secret goes on signing where the rotation does not say. Default 24 h.
	SecretOverlap time.Duration
}

func (c Config) withDefaults() Config {
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.Timeout == 0 {
		c.Timeout = 15 * time.Second
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 8
	}
	if c.RetryBase == 0 {
		c.RetryBase = 10 * time.Second
	}
	if c.RetryCap == 0 {
		c.RetryCap = 28 * time.Hour
	}
	if c.MaxWorkers == 0 {
		c.MaxWorkers = 100
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = max(1, c.MaxWorkers/4)
	}
	if c.SecretOverlap == 0 {
		c.SecretOverlap = 24 * time.Hour
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("webhooks: "+format, args...))
		}
	}
	wrong(c.Timeout < 0 || c.Timeout > time.Minute, "timeout %s: want up to a minute", c.Timeout)
	wrong(c.MaxAttempts < 1 || c.MaxAttempts > 50, "max attempts %d: want 1 to 50", c.MaxAttempts)
	wrong(c.RetryBase < 0 || c.RetryCap < c.RetryBase, "retries from %s up to %s: want the cap to be above the base", c.RetryBase, c.RetryCap)
	wrong(c.MaxWorkers < 1, "max workers %d", c.MaxWorkers)
	wrong(c.MaxInFlight < 1, "max in flight to one endpoint %d", c.MaxInFlight)
	wrong(c.SecretOverlap < 0 || c.SecretOverlap > MaxSecretOverlap, "secret overlap %s: want up to %s", c.SecretOverlap, MaxSecretOverlap)
	for _, prefix := range c.AllowPrefixes {
		wrong(!prefix.IsValid(), "allowed prefix %q is not one", prefix)
	}
	return errors.Join(errs...)
}

// Deps are what the room works with. Pool, Box, Vault and Jobs are required.
type Deps struct {
	Pool  *pgxpool.Pool
	Box   *outbox.Box
	Vault *cardvault.Vault
	// Jobs inserts the jobs of deliveries that are sent again; it needs no workers.
	Jobs *river.Client[pgx.Tx]
	// Log gets a line per attempt. Default: none.
	Log *slog.Logger
	// Tracing makes a span per attempt; nil for none.
	Tracing trace.TracerProvider
	// Metering makes the metrics; nil for none.
	Metering metric.MeterProvider
	// Now is the clock. Default time.Now.
	Now func() time.Time
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
	cfg     Config
	deps    Deps
	guard   *guard
	sender  *sender
	gate    *gate
	metrics metrics
	reads   *groupcommit.Group[uuid.UUID, letter]
	results *groupcommit.Group[result, struct{}]
}

// NewService makes the room. Close it after River has stopped.
func NewService(cfg Config, deps Deps) (*Service, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	deps = deps.withDefaults()
	if deps.Pool == nil || deps.Box == nil || deps.Vault == nil || deps.Jobs == nil {
		return nil, errors.New("webhooks: Pool, Box, Vault and Jobs are required")
	}
	measured, err := newMetrics(deps.Metering)
	if err != nil {
		return nil, fmt.Errorf("webhooks: metrics: %w", err)
	}
	s := &Service{cfg: cfg, deps: deps, guard: newGuard(cfg), metrics: measured}
	s.sender = newSender(cfg, s.guard, deps)
	s.gate = newGate(cfg.MaxInFlight)
	s.reads = groupcommit.New(groupcommit.Config[uuid.UUID, letter]{
		Flush: s.load, MaxBatch: maxReadBatch, Interval: groupcommit.CalmInterval, UnderLoad: groupcommit.CalmUnderLoad,
		Retryable: pgdb.IsRetryable,
	})
	s.results = groupcommit.New(groupcommit.Config[result, struct{}]{
		Flush: s.record, Interval: groupcommit.CalmInterval, UnderLoad: groupcommit.CalmUnderLoad,
		Retryable: pgdb.IsRetryable, Splittable: pgdb.IsMembers,
	})
	return s, nil
}

// Close lets what is being read and written finish, and closes the connections that are kept alive.
func (s *Service) Close() {
	s.reads.Close()
	s.results.Close()
	s.sender.close()
}

// now has the precision of the database.
func (s *Service) now() time.Time { return s.deps.Now().UTC().Truncate(time.Microsecond) }
