package sms

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/groupcommit"
)

// Config of the room. PublicURL is required.
type Config struct {
	// PublicURL is where buyers reach us, "https://shop.example"; {{url}} is PublicURL/o/<access token>.
	PublicURL string
	// MaxAttempts of a message whose gateway cannot be reached. Default 12, which with the waits below is about an hour.
	MaxAttempts int
	// RetryBase is the longest wait before the second attempt; it doubles with each. Default 5 s.
	RetryBase time.Duration
	// RetryCap bounds every wait. Default 30 min.
	RetryCap time.Duration
	// MaxAge is how long a message may wait for a gateway that throttles or fails; a later one would only puzzle its
	// reader. Default 24 h.
	MaxAge time.Duration
	// MaxSegments bounds what one message may cost. Default 10.
	MaxSegments int
}

func (c Config) withDefaults() Config {
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 12
	}
	if c.RetryBase == 0 {
		c.RetryBase = 5 * time.Second
	}
	if c.RetryCap == 0 {
		c.RetryCap = 30 * time.Minute
	}
	if c.MaxAge == 0 {
		c.MaxAge = 24 * time.Hour
	}
	if c.MaxSegments == 0 {
		c.MaxSegments = 10
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("sms: "+format, args...))
		}
	}
	u, err := url.Parse(c.PublicURL)
	wrong(err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https", "public URL %q: want http(s)://host", c.PublicURL)
	wrong(c.MaxAttempts < 1 || c.MaxAttempts > 50, "max attempts %d: want 1 to 50", c.MaxAttempts)
	wrong(c.RetryBase < 0 || c.RetryCap < c.RetryBase, "retries from %s up to %s: want the cap to be above the base", c.RetryBase, c.RetryCap)
	wrong(c.MaxAge < 0, "max age %s is negative", c.MaxAge)
	wrong(c.MaxSegments < 1, "max segments %d: want at least 1", c.MaxSegments)
	return errors.Join(errs...)
}

// Deps are what the room works with. Pool, Vault, Provider and Jobs are required.
type Deps struct {
	Pool  *pgxpool.Pool
	Vault *cardvault.Vault
	// Provider is who delivers the messages.
	Provider Provider
	// Jobs inserts the jobs of messages that are sent again; it needs no workers.
	Jobs *river.Client[pgx.Tx]
	// Log gets a line per attempt. Default: none.
	Log *slog.Logger
	// Tracing makes a span per attempt; nil for none.
	Tracing trace.TracerProvider
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
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}

// Service is the room.
type Service struct {
	cfg    Config
	deps   Deps
	tracer trace.Tracer

	drafts  *groupcommit.Group[uuid.UUID, draft]
	claims  *groupcommit.Group[claim, bool]
	results *groupcommit.Group[verdict, bool]
}

// NewService makes the room. The error lists every problem of the configuration. Close it after River has stopped.
func NewService(cfg Config, deps Deps) (*Service, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, deps: deps.withDefaults()}
	s.tracer = s.deps.Tracing.Tracer("github.com/vendbox/vendbox/internal/sms")
	s.drafts = s.newDrafts()
	s.claims = s.newClaims()
	s.results = s.newResults()
	return s, nil
}

// Close lets the reads and writes at hand finish.
func (s *Service) Close() {
	s.drafts.Close()
	s.claims.Close()
	s.results.Close()
}

// AddWorkers registers the room's workers.
func (s *Service) AddWorkers(workers *river.Workers) { river.AddWorker(workers, &worker{s: s}) }

// now is the time as Postgres keeps it.
func (s *Service) now() time.Time { return s.deps.Now().UTC().Truncate(time.Microsecond) }
